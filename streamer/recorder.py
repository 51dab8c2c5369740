"""From frames and events to numbered lines, in one order."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from include.coinbase import Comparison, Subscription
from include.config import StreamerConfig
from include.spool import FORMAT_VERSION, MALFORMED, Header, RecordEncoder, judge_all
from streamer import __version__
from streamer.budget import Level
from streamer.gaps import FOLLOWED, Gap, GapClosed, GapTracker
from streamer.products import ProductChange
from streamer.traffic import Traffic
from streamer.writer import DiskFailure, DiskWriter

#: What happens to a connection that cannot be read.
STAGES: Final = ("paused", "resumed", "given_up")


class NoRoom(Exception):
    """A connection cannot be read any longer, because what it delivers cannot be kept."""


class DiskSlow(NoRoom):
    """The buffer was full for too long."""


class SpoolFull(NoRoom):
    """The disk budget of the spool is spent."""


class Recorder:
    """Numbers, counts and hands on everything that is recorded in a session, whichever connection it came from.

    For the event loop's thread only: the order of the calls is the order of the records.
    """

    def __init__(self, encoder: RecordEncoder, writer: DiskWriter, traffic: Traffic, gaps: GapTracker) -> None:
        self._encoder = encoder
        self._writer = writer
        self._traffic = traffic
        self._gaps = gaps
        self._connections = 0
        # Encoded, not yet handed to the writer; while frames are recorded they gather, which takes one lock for all.
        self._lines: list[bytes] = []
        self._gathers = False
        self._spool_has_room = asyncio.Event()
        self._spool_has_room.set()
        self.has_room = True
        """False when the buffer or the spool is full: do not read on before pause() or room() returns."""
        self.back_pressure = Counter(dict.fromkeys(STAGES, 0))
        """How often each stage was reached."""
        self.disk_failures = 0
        """How often the disk stopped taking lines."""

    def frames(
        self,
        frames: Sequence[bytes],
        connection_no: int,
        notice: Callable[[Header | None, bytes], None],
        unnoticed: Collection[str] = (),
    ) -> int:
        """Record frames that were read at once, as they were received; received_at of the last one, in microseconds.

        `notice` is told each that is of none of the `unnoticed` types, right after it was recorded: what it records
        itself follows on that frame. A frame without a header is malformed.
        """
        headers, see, now = judge_all(frames), self._gaps.see, time.monotonic()
        recorded = 0
        self._gathers = True
        try:
            for number, header in enumerate(headers, 1):
                type_ = MALFORMED if header is None else header.type
                found = see(header, now) if header is not None and type_ in FOLLOWED else ()
                is_noticed = type_ not in unnoticed
                if found or is_noticed:
                    self._encode(frames[recorded:number], headers[recorded:number], connection_no)
                    recorded = number
                    self._found(found, connection_no)
                    if is_noticed:
                        notice(header, frames[number - 1])
            if not recorded:
                self._encode(frames, headers, connection_no)
            elif recorded < len(frames):
                self._encode(frames[recorded:], headers[recorded:], connection_no)
            return self._encoder.received_at_us
        finally:
            self._gathers = False
            self._hand_over()

    def _encode(self, frames: Sequence[bytes], headers: Sequence[Header | None], connection_no: int) -> None:
        self._lines.append(self._encoder.frames(frames, connection_no, headers))
        self._traffic.count(frames, headers, self._encoder.received_at_us)

    def _hand_over(self) -> None:
        if not self._writer.append(b"".join(self._lines), self._encoder.record_no):
            self.has_room = False
        self._lines.clear()

    def overdue(self) -> None:
        """Record the gaps that show because time passed; to be called about once a second.

        While nothing is read, what heartbeats promised may lie in the socket.
        """
        if self.has_room:
            self._found(self._gaps.tick(time.monotonic()), self._connections)

    def _found(self, found: Iterable[Gap | GapClosed], connection_no: int) -> None:
        for gap in found:
            if isinstance(gap, Gap):
                detail = {"first_missing": gap.first, "last_missing": gap.last, "detected_by": gap.detected_by}
                self._control("pulse_gap", detail, connection_no, gap.product_id)
            else:
                self._control("pulse_gap_closed", {"first": gap.first, "last": gap.last}, connection_no, gap.product_id)

    async def room(self) -> None:
        """Wait until a connection could be read."""
        while not self.has_room:
            await self._spool_has_room.wait()
            await self._writer.room()
            self.has_room = self._spool_has_room.is_set()

    async def pause(self, connection_no: int, max_seconds: float) -> None:
        """Wait, with a connection that is not read, until there is room. Raises SpoolFull at once, DiskSlow after
        `max_seconds`."""
        if not self._spool_has_room.is_set():
            raise SpoolFull("the spool's budget (PULSE_SPOOL_MAX_BYTES) is spent")
        began = time.monotonic()
        self._back_pressure("paused", 0.0, connection_no)
        try:
            async with asyncio.timeout(max_seconds) as timeout:
                await self.room()
        except TimeoutError:
            if not timeout.expired():
                raise
            self._back_pressure("given_up", time.monotonic() - began, connection_no)
            raise DiskSlow(f"not read for {max_seconds:g} s: the disk is too slow") from None
        self._back_pressure("resumed", time.monotonic() - began, connection_no)

    def _back_pressure(self, stage: str, seconds: float, connection_no: int) -> None:
        self.back_pressure[stage] += 1
        detail = {"stage": stage, "buffered_bytes": self._writer.buffered_bytes, "seconds": round(seconds, 3)}
        self._control("pulse_back_pressure", detail, connection_no)

    def spool_budget(self, level: Level, used_bytes: int, max_bytes: int) -> None:
        """The spool crossed a level of its budget; at full nothing is captured."""
        detail = {"level": level, "bytes": used_bytes, "max_bytes": max_bytes}
        self._control("pulse_spool_budget", detail, self._connections)
        if level is Level.FULL:
            self.has_room = False
            self._spool_has_room.clear()
        else:
            self._spool_has_room.set()

    def disk_failing(self, failure: DiskFailure) -> None:
        """The disk does not take lines."""
        self.disk_failures += 1
        self._disk("failing", failure)

    def disk_recovered(self, failure: DiskFailure) -> None:
        """It takes them again after this failure."""
        self._disk("recovered", failure)

    def _disk(self, state: str, failure: DiskFailure) -> None:
        seconds = round(time.monotonic() - failure.since, 3)
        detail = {"state": state, "error": failure.error, "seconds": seconds}
        self._control("pulse_disk", detail, self._connections)

    def commits(self, summary: dict[str, Any]) -> None:
        """How long lines waited until they were durable, in the last minute."""
        self._control("pulse_commits", summary, self._connections)

    def clock_set(self, step_ns: int) -> None:
        """The wall clock was set by so much."""
        self._control("pulse_clock", {"step_us": step_ns // 1000}, self._connections)

    def started(self, config: StreamerConfig) -> None:
        """The session begins."""
        detail = {
            "version": __version__,
            "format_version": FORMAT_VERSION,
            "feed_url": config.feed_url,
            "products": config.products,
            "channels": config.channels,
        }
        self._control("pulse_started", detail, 0)

    def connected(self, url: str, attempt: int) -> int:
        """A connection is open; its number."""
        self._connections += 1
        self._control("pulse_connected", {"url": url, "attempt": attempt}, self._connections)
        return self._connections

    def subscribed(self, comparison: Comparison, connection_no: int) -> None:
        """The exchange answered a request."""
        detail = {
            "requested": as_json(comparison.requested),
            "granted": as_json(comparison.granted),
            "refused": as_json(comparison.refused),
        }
        self._control("pulse_subscribed", detail, connection_no)

    def disconnected(self, reason: str, code: int | None, error: str, connection_no: int) -> None:
        """A connection ended or could not be made; `connection_no` is 0 as long as there never was one."""
        self._control("pulse_disconnected", {"reason": reason, "code": code, "error": error}, connection_no)

    def resolved(self, change: ProductChange) -> None:
        """PULSE_PRODUCTS was resolved."""
        self._control("pulse_products", change._asdict(), 0)

    def stopped(self, reason: str) -> None:
        """The session ends."""
        self._control("pulse_stopped", {"reason": reason}, self._connections)

    def _control(self, type_: str, detail: dict[str, Any], connection_no: int, product_id: str | None = None) -> None:
        self._lines.append(self._encoder.control(type_, detail, connection_no, product_id).line)
        if not self._gathers:
            self._hand_over()


def as_json(subscriptions: tuple[Subscription, ...]) -> list[dict[str, Any]]:
    """Subscriptions as control records and /status show them."""
    return [subscription._asdict() for subscription in subscriptions]
