"""The one thread that touches the disk.

The event loop appends lines to memory and never waits for a file. The thread takes what has gathered, hands it to the
kernel at least every flush interval (or 256 KiB), syncs in groups, and looks after rotation.

    append ─▶ buffered ─(write)─▶ in the kernel ─(sync)─▶ durable

Lines wait in batches of about 1 MiB, so that handing them over never needs a second copy of a full buffer.
"""

import asyncio
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from include.spool import SyncFailed

log = logging.getLogger(__name__)

#: Gathered lines are written at this size without waiting for the flush interval.
BATCH_BYTES: Final = 256 * 1024

#: What the kernel is given at most with one call, but for a line that is longer.
_BATCH_MAX_BYTES: Final = 1024 * 1024

#: The spool wants to be looked at this often, also when nothing comes (docs/spool-format.md).
CHECK_INTERVAL_SECONDS: Final = 0.1

#: A thread that is inside one call for this long hangs, as far as anybody can tell.
HANGS_AFTER_SECONDS: Final = 5.0

#: At the end there is less patience: what has not given up by itself after this time hangs.
_HUNG_SECONDS: Final = 0.25


class Segments(Protocol):
    """Where lines go; see include.spool.SegmentWriter. A step that raises OSError, but SyncFailed, can be repeated."""

    def write(self, lines: bytes | bytearray, /) -> None:
        """Hand whole lines to the kernel."""

    def sync(self) -> None:
        """Make what was written durable."""

    def check(self) -> object:
        """Rotate when it is time, or when somebody else did."""

    def close(self) -> object:
        """Sync and hand over the last segment."""


class DiskFailed(Exception):
    """The disk failed in a way that trying again does not mend; lines that are not durable may be lost."""


class DiskFailure(NamedTuple):
    """A failure that may pass: a full disk, a read-only volume, a missing folder, a call that does not return."""

    error: str
    since: float
    """time.monotonic() of the first failed try."""


class _Batch:
    """Lines that are handed over together."""

    __slots__ = ("last_record_no", "lines", "since")

    def __init__(self) -> None:
        self.lines = bytearray()
        self.last_record_no = 0
        self.since = 0.0
        """time.monotonic() of its first line."""


def may_pass(error: OSError) -> bool:
    """Whether a failed step is worth repeating: all but a defective device and a lost sync."""
    return not isinstance(error, SyncFailed) and error.errno != errno.EIO


class DiskWriter:
    """Lines on their way to the disk. Methods are for the event loop's thread unless they say otherwise."""

    def __init__(
        self,
        segments: Segments,
        *,
        flush_interval_ms: int,
        commit_interval_ms: int,
        buffer_max_bytes: int,
        on_commit: Callable[[float, float], None],
        hangs_after_seconds: float = HANGS_AFTER_SECONDS,
    ) -> None:
        """`on_commit` is told of every sync, from the writer's thread: its duration, and how old the oldest line is
        that it made durable, both in seconds."""
        self._segments = segments
        self._tick_seconds = min(flush_interval_ms / 1000, CHECK_INTERVAL_SECONDS, commit_interval_ms / 1000)
        self._commit_interval = commit_interval_ms / 1000
        self._buffer_max_bytes = buffer_max_bytes
        self._on_commit = on_commit
        self._hangs_after_seconds = hangs_after_seconds
        self._loop = asyncio.get_running_loop()
        self._ended: Future[None] = Future()
        self._room = asyncio.Event()

        # Shared by both threads, under the lock.
        self._wake = threading.Condition(threading.Lock())
        self._filling = _Batch()
        self._waiting: deque[_Batch] = deque()
        self._buffered_bytes = 0
        self._full = False
        self._give_up_at: float | None = None

        # Written by the event loop's thread only; reading it is atomic.
        self._last_record_no = 0

        # Written by the writer's thread only; reading one of them is atomic.
        self._in_hand: _Batch | None = None
        self._written_record_no = 0
        self._written_since = 0.0
        self._next_commit = 0.0
        self._durable_record_no = 0
        self._failure: DiskFailure | None = None
        self._last_failure: DiskFailure | None = None
        self._busy_since = 0.0

    # ------------------------------------------------------------------ state

    @property
    def durable_record_no(self) -> int:
        """The record up to which everything survives a power cut."""
        return self._durable_record_no

    @property
    def all_durable(self) -> bool:
        """Whether that is the last one appended."""
        return self._durable_record_no == self._last_record_no

    @property
    def failure(self) -> DiskFailure | None:
        """Why the disk does not take lines at the moment."""
        if self._failure:
            return self._failure
        busy_since = self._busy_since
        if busy_since and time.monotonic() - busy_since > self._hangs_after_seconds:
            return DiskFailure("the disk hangs: a call does not return", busy_since)
        return None

    @property
    def last_failure(self) -> DiskFailure | None:
        """The last step that failed, also when it was mended in a moment; None when none ever did."""
        return self._last_failure

    @property
    def buffered_bytes(self) -> int:
        """Bytes the kernel has not taken yet."""
        return self._buffered_bytes

    @property
    def buffered_lines(self) -> int:
        """Lines the kernel has not taken yet."""
        return max(0, self._last_record_no - self._written_record_no)

    @property
    def durable_lag_seconds(self) -> float:
        """Age of the oldest line that is not durable yet; 0 when all are."""
        with self._wake:
            oldest = self._in_hand or (self._waiting[0] if self._waiting else self._filling)
            since = self._written_since or (oldest.since if oldest.lines else 0.0)
        return time.monotonic() - since if since else 0.0

    # ------------------------------------------------------------------ lines

    def append(self, lines: bytes, record_no: int) -> bool:
        """Take whole lines, of which `record_no` is the last; never refuses. False when the budget is spent: wait for
        room() before reading more."""
        with self._wake:
            batch = self._filling
            if not batch.lines:
                batch.since = time.monotonic()
            batch.lines += lines
            batch.last_record_no = self._last_record_no = record_no
            self._buffered_bytes += len(lines)
            size = len(batch.lines)
            if size >= BATCH_BYTES:
                self._wake.notify()
                if size >= _BATCH_MAX_BYTES:
                    self._waiting.append(batch)
                    self._filling = _Batch()
            if self._buffered_bytes > self._buffer_max_bytes:
                self._full = True
            return not self._full

    async def room(self) -> None:
        """Wait until half of a spent budget is free again."""
        while self._full:
            self._room.clear()
            await self._room.wait()

    # -------------------------------------------------------------- lifecycle

    def start(self) -> None:
        """Start the thread. It is a daemon: a disk that hangs must not keep the process from ending."""
        threading.Thread(target=self._run_to_end, name="disk", daemon=True).start()

    async def supervise(self) -> None:
        """Return when the thread has ended. Raises DiskFailed, and whatever else ended it."""
        await asyncio.shield(asyncio.wrap_future(self._ended))

    async def close(self, timeout_seconds: float) -> None:
        """Write, sync and hand over everything, and end the thread.

        Raises DiskFailed when the disk does not take it within the time, with the number of bytes lost.
        """
        with self._wake:
            self._give_up_at = time.monotonic() + timeout_seconds
            self._wake.notify()
        try:
            async with asyncio.timeout(timeout_seconds + _HUNG_SECONDS):
                await self.supervise()
        except TimeoutError:
            raise DiskFailed(f"the disk hangs: {self.buffered_bytes} bytes of lines did not reach it in time") from None

    # ----------------------------------------------------- the writer's thread

    def _run_to_end(self) -> None:
        try:
            self._run()
        except BaseException as error:  # whatever ended the thread is raised where it is awaited
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    def _run(self) -> None:
        while (give_up_at := self._wait()) is None:
            self._tick()
        while not self._finished():
            if time.monotonic() >= give_up_at:
                raise DiskFailed(
                    f"{self.buffered_bytes} bytes of lines did not reach the disk in time: {self._failure}"
                )
            if self._failure:
                time.sleep(self._tick_seconds)

    def _wait(self) -> float | None:
        """Wait for the next tick; the time to give up at when the writer is to close."""
        with self._wake:
            if self._failure is None:
                self._wake.wait_for(lambda: self._give_up_at or self._buffered_bytes >= BATCH_BYTES, self._tick_seconds)
            else:
                self._wake.wait_for(lambda: self._give_up_at, CHECK_INTERVAL_SECONDS)
            return self._give_up_at

    def _finished(self) -> bool:
        """Bring out what is left. A segment that cannot be handed over stays in active/, where the sealer finds it."""
        self._next_commit = 0.0
        self._tick()
        if self.buffered_bytes or self._durable_record_no != self._written_record_no:
            return False
        if failure := self._try(self._segments.close):
            log.warning("the last segment was not handed over", extra={"error": str(failure)})
        return True

    def _tick(self) -> None:
        self._busy_since = time.monotonic()
        # Also while nothing can be written the scheduler may want the segment, and what was written can be synced.
        failures = [self._try(step) for step in (self._flush, self._segments.check, self._commit)]
        self._busy_since = 0.0
        failure = next(filter(None, failures), None)
        if failure and not self._failure:
            log.error("the disk does not take lines; trying until it does", extra={"error": str(failure)})
            self._failure = self._last_failure = DiskFailure(str(failure), time.monotonic())
        elif not failure and self._failure:
            log.info("the disk takes lines again", extra={"seconds": time.monotonic() - self._failure.since})
            self._failure = None

    def _try(self, step: Callable[[], object]) -> OSError | None:
        try:
            step()
        except OSError as error:
            if may_pass(error):
                return error
            raise DiskFailed(f"lines may not have reached the disk: {error}") from error
        return None

    def _flush(self) -> None:
        """Write a batch. What the kernel does not take stays in hand, before all that comes later."""
        batch = self._in_hand or self._take()
        if batch is None:
            return
        self._segments.write(batch.lines)
        with self._wake:
            self._written_record_no = batch.last_record_no
            self._written_since = self._written_since or batch.since
            self._in_hand = None
            self._buffered_bytes -= len(batch.lines)
            if self._full and self._buffered_bytes <= self._buffer_max_bytes // 2:
                self._full = False
                self._loop.call_soon_threadsafe(self._room.set)

    def _take(self) -> _Batch | None:
        with self._wake:
            if self._waiting:
                self._in_hand = self._waiting.popleft()
            elif self._filling.lines:
                self._in_hand, self._filling = self._filling, _Batch()
            return self._in_hand

    def _commit(self) -> None:
        """Sync what was written since the last time, when it is due."""
        started = time.monotonic()
        if started < self._next_commit or self._durable_record_no == self._written_record_no:
            return
        self._segments.sync()
        finished = time.monotonic()
        age = finished - self._written_since
        self._written_since = 0.0
        self._durable_record_no = self._written_record_no
        self._next_commit = started + self._commit_interval
        self._on_commit(finished - started, age)
