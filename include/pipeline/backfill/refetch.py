"""One lane of a refetch: pages from the exchange into a segment, and after each page the note of how far it is.

The order is: page → segment, synced → note. A task that is killed in between fetches that one page again; the marts
have each trade once whatever raw has. A lane writes as a streamer of its own, `rest-<lane>`, whose lock keeps out a
second process: a task that was given up but still runs.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from include.coinbase.rest import TRADES_PER_PAGE, RestClient
from include.config import BackfillConfig
from include.pipeline.backfill.client import open_rest
from include.pipeline.backfill.state import LaneState, Piece, Progress, RunFolder
from include.pipeline.backfill.waiting import rest_bytes, streamer_id
from include.spool import FORMAT_VERSION, RecordEncoder, SegmentWriter, Session, Spool

#: A record that REST brought came over no connection of its session.
_NO_CONNECTION: Final = 0
_SEGMENT_MAX_BYTES: Final = 32 * 1024 * 1024
_SEGMENT_MAX_AGE_SECONDS: Final = 60.0
#: docs/spool-format.md: how often a writer looks whether somebody wants its segment.
_CHECK_SECONDS: Final = 0.05
_REPORT_SECONDS: Final = 5.0
_PENDING_EVERY_PAGES: Final = 10
_PENDING_POLL_SECONDS: Final = 2.0
_PENDING_TIMEOUT_SECONDS: Final = 6 * 3600

log = logging.getLogger(__name__)


class NotTransformed(Exception):
    """What was refetched is not taken over by market_pulse, so no more is fetched. A repetition goes on."""


def refetch_lane(
    spool: Spool,
    config: BackfillConfig,
    *,
    run_id: str,
    lane: int,
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Fetch what is left of a lane; its figures since the run's beginning. `tell` hears of the progress now and then.

    Raises RestError, SpoolLocked, NotTransformed; OSError from the disk.
    """
    with spool.lock_streamer(streamer_id(lane)):
        if not RunFolder(spool, run_id).read_lane(lane).is_done:
            asyncio.run(_Lane(spool, config, run_id=run_id, number=lane, tell=tell).run())
    return outcome(RunFolder(spool, run_id).read_lane(lane))


def outcome(state: LaneState) -> dict[str, Any]:
    """A lane's figures, JSON-able."""
    return {
        "asked": state.asked,
        "reached": state.reached,
        "found": state.found,
        "requests": state.requests,
        "refused_429": state.refusals,
        "failed_requests": state.failures,
        "seconds": round(state.seconds, 1),
        "sessions": len(state.sessions),
    }


class _Lane:
    """One try at a lane: one session."""

    def __init__(
        self,
        spool: Spool,
        config: BackfillConfig,
        *,
        run_id: str,
        number: int,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self._spool = spool
        self._config = config
        self._folder = RunFolder(spool, run_id)
        self._number = number
        self._state = state = self._folder.read_lane(number)
        self._tell = tell
        self._session = Session.new(streamer_id(number), time.time_ns())
        self._encoder = RecordEncoder(self._session, time.time_ns)
        self._writer = SegmentWriter(spool, self._session, _SEGMENT_MAX_BYTES, _SEGMENT_MAX_AGE_SECONDS)
        self._started = self._reported = time.monotonic()
        self._before = (state.requests, state.refusals, state.failures, state.seconds)
        self._pages = 0

    async def run(self) -> None:
        # Noted before the first line is written: the report finds what this session brought by its id.
        self._state.sessions.append(self._session.session_id)
        self._folder.write_lane(self._number, self._state)
        async with open_rest(self._spool, self._config) as rest:
            try:
                self._write(self._started_record())
                async with self._watched():
                    for piece, progress in zip(self._state.pieces, self._state.progress, strict=True):
                        await self._fetch(rest, piece, progress)
                self._write(self._encoder.control("pulse_stopped", {"reason": "done"}, _NO_CONNECTION).line)
            finally:
                self._writer.close()
                self._note(rest)
        self._report(rest)

    def _started_record(self) -> bytes:
        detail = {
            "version": "backfill",
            "format_version": FORMAT_VERSION,
            "feed_url": self._config.rest_url,
            "products": sorted({piece.product_id for piece in self._state.pieces}),
            "channels": ["rest"],
        }
        return self._encoder.control("pulse_started", detail, _NO_CONNECTION).line

    async def _fetch(self, rest: RestClient, piece: Piece, progress: Progress) -> None:
        while progress.reached > piece.first:
            limit = min(TRADES_PER_PAGE, progress.reached - piece.first)
            page = await rest.trades(piece.product_id, after=progress.reached, limit=limit)
            trades = [trade for trade in reversed(page) if trade.trade_id >= piece.first]
            frames = [trade.frame(piece.product_id) for trade in trades]
            self._write(self._encoder.frames(frames, _NO_CONNECTION))
            progress.found += len(trades)
            # No trade at all below, or only older ones than the piece's: the exchange has no more of it.
            progress.reached = trades[0].trade_id if trades and len(page) == limit else piece.first
            self._note(rest)
            self._pages += 1
            if time.monotonic() - self._reported >= _REPORT_SECONDS:
                self._report(rest)
            if self._pages % _PENDING_EVERY_PAGES == 0:
                await self._wait_until_taken()

    def _write(self, lines: bytes) -> None:
        self._writer.write(lines)
        self._writer.sync()
        self._writer.check()

    def _note(self, rest: RestClient) -> None:
        requests, refusals, failures, seconds = self._before
        self._state.requests = requests + rest.requests
        self._state.refusals = refusals + rest.refusals
        self._state.failures = failures + rest.failures
        self._state.seconds = seconds + time.monotonic() - self._started
        self._folder.write_lane(self._number, self._state)

    def _report(self, rest: RestClient) -> None:
        self._reported = time.monotonic()
        figures = outcome(self._state) | {
            "lane": self._number,
            "percent": round(100 * self._state.reached / max(1, self._state.asked), 1),
            "requests_a_second": round(rest.requests / max(0.001, self._reported - self._started), 2),
        }
        log.info("%s", figures)
        self._tell(figures)

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Meanwhile hand over the segment whenever the sealer wants it, also during a long pause of the exchange."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            self._writer.check()

    async def _wait_until_taken(self) -> None:
        """So much of it waits for the marts that one run of market_pulse would take too long over more."""
        limit = self._config.backfill_pending_max_bytes
        if (pending := rest_bytes(self._spool)) <= limit:
            return
        self._writer.close()
        log.info("%d bytes of the refetch are not in the marts yet: waiting for market_pulse", pending)
        deadline = time.monotonic() + _PENDING_TIMEOUT_SECONDS
        while (pending := rest_bytes(self._spool)) > limit:
            if time.monotonic() >= deadline:
                raise NotTransformed(
                    f"{pending} bytes of the refetch wait in {self._spool.root} for longer than "
                    f"{_PENDING_TIMEOUT_SECONDS // 3600} hours. Hint: is market_pulse paused or failing? Then clear "
                    f"this task: it goes on where it is"
                )
            await asyncio.sleep(_PENDING_POLL_SECONDS)
