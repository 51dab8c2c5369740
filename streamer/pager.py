"""Pages by itself, without Airflow: when nobody seals or loads what is captured, when data stop, when the disk does.

Nothing here may disturb capture. The event loop only reads figures that are there anyway; files of the alerts, the
spool's folders, names to resolve and slow receivers are for threads of its own, which are given up when they hang.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from include.alerting import AlertDesk, Delivery, Dispatch, Facts, Occurrence, configured_channels
from include.alerting import Waiting as WaitingData
from include.alerting.senders import send
from include.config import AlertConfig, PagerConfig, Source, StreamerConfig
from include.spool import Spool, SpoolError, State
from streamer.backlog import Backlog, Waiting
from streamer.budget import Level
from streamer.status import Status
from streamer.threads import in_thread

log = logging.getLogger(__name__)

#: An incident that goes on is reported this often; updates are due far less.
_REPEAT_SECONDS: Final = 60.0
#: The folder of the alerts is on a disk that may be what fails.
_FILES_SECONDS: Final = 15.0
_SEND_SECONDS: Final = 60.0

_DATA: Final = frozenset({"match", "last_match", "ticker", "heartbeat", "l2update", "snapshot", "status"})
_WAITING: Final = (State.ACTIVE, State.SEALING, State.SEALED)


class PagerSettings(NamedTuple):
    """The pager's own configuration."""

    limits: PagerConfig
    alerts: AlertConfig


class Problem(NamedTuple):
    """Something that is wrong at this moment."""

    alert_id: str
    detail: str


class Pager:
    """Watches one streamer. Does nothing when no channel has an address."""

    def __init__(self, config: StreamerConfig, settings: PagerSettings, spool: Spool, status: Status) -> None:
        self._limits, self._alerts = settings
        self._status = status
        self._watches_feed = config.resolved_source() is not Source.REPLAY
        self._scope = f"streamer/{config.streamer_id}"
        self._desk = AlertDesk(self._alerts, with_connections=False)
        self._desk_without_files = AlertDesk(self._alerts, with_connections=False, shared=False)
        self._backlog = Backlog(spool)
        self._waits = (Waiting(0.0, ""), Waiting(0.0, ""))
        self._data_messages = 0
        self._data_at = time.monotonic()
        self._reported: set[str] = set()
        self._talked_at = float("-inf")

    async def watch(self) -> None:
        """Look until cancelled."""
        if not configured_channels(self._alerts, with_connections=False):
            return
        while True:
            await asyncio.sleep(self._limits.pager_interval_seconds)
            try:
                await self._look()
            except Exception:  # whatever goes wrong in here, capture goes on
                log.exception("the pager failed, and tries again")

    async def _look(self) -> None:
        await self._measure_backlog()
        problems, unknown = self.problems()
        names = {problem.alert_id for problem in problems}
        if names == self._reported and time.monotonic() - self._talked_at < _REPEAT_SECONDS:
            return
        self._reported, self._talked_at = names, time.monotonic()
        await self._talk(problems, unknown)

    async def _measure_backlog(self) -> None:
        try:
            self._waits = await _bounded(self._backlog.look, "backlog")
        except (OSError, SpoolError) as error:  # TimeoutError is one: the disk hangs, and the writer says so
            log.warning("the backlog cannot be measured", extra={"error": str(error)})

    def problems(self) -> tuple[list[Problem], set[str]]:
        """What is wrong now, and the alerts of which nothing can be said now, so that they are neither raised nor over.

        While the disk does not take lines the feed is not read, and a spool that is full is beyond filling.
        """
        disk = list(self._disk_problems())
        found = [*disk, *self._backlog_problems()]
        is_read = not any(problem.alert_id in {"disk_failing", "spool_full"} for problem in disk)
        if is_read and self._watches_feed:
            found += self._feed_problems()
            return found, set()
        self._data_at = time.monotonic()
        return found, {"feed_silent", "spool_filling"} - {problem.alert_id for problem in found}

    def _disk_problems(self) -> Iterator[Problem]:
        writer, budget = self._status.writer, self._status.budget
        failure, lag = writer.failure, writer.durable_lag_seconds
        failing = time.monotonic() - failure.since if failure else 0.0
        if max(failing, lag) > self._limits.pager_disk_seconds:
            why = f"{failure.error}; " if failure else ""
            yield Problem("disk_failing", f"{why}the oldest record that is not durable waits for {lag:.0f} s")
        used = f"{budget.used_bytes} of {budget.max_bytes} bytes (PULSE_SPOOL_MAX_BYTES)"
        if budget.level is Level.FULL:
            yield Problem("spool_full", used)
        elif budget.level is Level.WARNING:
            yield Problem("spool_filling", used)

    def _backlog_problems(self) -> Iterator[Problem]:
        unsealed, sealed = self._waits
        if unsealed.seconds > self._limits.pager_unsealed_seconds:
            yield Problem("segments_unsealed", f"{unsealed.segment} waits for {unsealed.seconds:.0f} s to be sealed")
        if sealed.seconds > self._limits.pager_unloaded_seconds:
            yield Problem("segments_unloaded", f"{sealed.segment} waits for {sealed.seconds:.0f} s to be loaded")

    def _feed_problems(self) -> Iterator[Problem]:
        limit = self._limits.pager_silent_seconds
        messages = sum(count.messages for count in self._status.traffic.counts() if count.type in _DATA)
        now = time.monotonic()
        if messages != self._data_messages:
            self._data_messages, self._data_at = messages, now
        silent = self._status.silent_shards(limit)
        # A frame is older than the look that counted it: all shards may be silent a look before.
        if now - self._data_at > limit or (silent and len(silent) == self._status.shard_count):
            reason = "; ".join(self._status.not_ready()) or "the connection is open, and nothing comes"
            yield Problem("feed_silent", f"no data for {now - self._data_at:.0f} s: {reason}")
        elif silent:
            yield Problem("feed_silent", f"no data for more than {limit} s on {'; '.join(silent)}")

    async def _talk(self, problems: list[Problem], unknown: set[str]) -> None:
        desk = self._desk
        try:
            dispatches = await _bounded(lambda: self._decide(desk, problems, unknown), "alerts")
        except TimeoutError:
            desk = self._desk_without_files
            dispatches = self._decide(desk, problems, unknown)
        for dispatch in dispatches:
            await self._send(desk, dispatch)

    def _decide(self, desk: AlertDesk, problems: list[Problem], unknown: set[str]) -> list[Dispatch]:
        dispatches = []
        for problem in problems:
            dispatches += desk.report(self._occurrence(problem))
        for alert_id in desk.open_alerts(self._scope) - {problem.alert_id for problem in problems} - unknown:
            dispatches += desk.recover(self._scope, alert_id)
        return dispatches + desk.overdue()

    def _occurrence(self, problem: Problem) -> Occurrence:
        usage = self._status.budget.usage
        waiting = [usage[state] for state in _WAITING if state in usage]
        return Occurrence(
            alert_id=problem.alert_id,
            scope=self._scope,
            what=self._scope,
            detail=problem.detail,
            at=datetime.now(UTC),
            facts=Facts(
                waiting=WaitingData(sum(each.segments for each in waiting), sum(each.bytes for each in waiting))
            ),
        )

    async def _send(self, desk: AlertDesk, dispatch: Dispatch) -> None:
        try:
            deliveries = await _bounded(lambda: asyncio.run(send(dispatch, self._alerts)), "page", _SEND_SECONDS)
        except TimeoutError:
            deliveries = [Delivery(channel, "sending did not end") for channel in dispatch.channels]
        log.warning(
            "paged",
            extra={
                "title": dispatch.message.title,
                "channels": {each.channel.value: each.error or "ok" for each in deliveries},
            },
        )
        try:
            await _bounded(lambda: desk.delivered(dispatch, deliveries), "alerts")
        except TimeoutError as error:
            log.warning("what was sent cannot be noted", extra={"error": str(error)})


async def _bounded[T](call: Callable[[], T], name: str, seconds: float = _FILES_SECONDS) -> T:
    """What a blocking call returns. Raises TimeoutError when it hangs: its thread is left behind."""
    return await asyncio.wait_for(in_thread(call, name), seconds)
