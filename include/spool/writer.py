"""The writer's side of a segment: born locked, appended to in whole batches, handed over by rename."""

import fcntl
import os
import time
from collections.abc import Callable

from . import durable
from .errors import SyncFailed
from .names import SegmentName, Session
from .spool import NEW_SUFFIX, Spool, State


class _Segment:
    """An open active segment. Every byte up to `size` belongs to a whole line."""

    def __init__(self, spool: Spool, name: SegmentName, opened_at: float) -> None:
        self.name = name
        self.opened_at = opened_at
        self.size = 0
        self.path = spool.path(name, State.ACTIVE)
        self._has_rest = False
        newborn = self.path.with_name(f".{name.file_name}{NEW_SUFFIX}")
        self._fd = os.open(newborn, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        stat = os.fstat(self._fd)
        self._identity = stat.st_dev, stat.st_ino
        try:
            # Locked before it has its name: whoever sees the name and gets the lock knows that the writer is dead.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            durable.rename_durable(newborn, self.path)
        except OSError:
            # What is left is empty: the next try takes its name again, or the next run removes it. Only the lock must
            # not stay, or it would keep out the next try.
            try:
                newborn.unlink(missing_ok=True)
            finally:
                os.close(self._fd)
            raise

    def append(self, lines: bytes | bytearray) -> None:
        """Append all of `lines`, or raise OSError and leave the segment as it was."""
        self._cut_rest()
        rest = memoryview(lines)
        self._has_rest = True
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._cut_rest()
            raise
        self._has_rest = False
        self.size += len(lines)

    def _cut_rest(self) -> None:
        """Take back what a failed append left. When even that fails, the next call tries again before all else."""
        if self._has_rest:
            os.ftruncate(self._fd, self.size)
            self._has_rest = False

    def sync(self) -> None:
        self._cut_rest()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise SyncFailed(error.errno, error.strerror, str(self.path)) from error

    def is_ours(self) -> bool:
        """Whether the name in active/ still points to this file."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return False
        return (stat.st_dev, stat.st_ino) == self._identity

    def close(self) -> None:
        """Sync, then let the lock fall. The file is never written to again."""
        self.sync()
        os.close(self._fd)


class SegmentWriter:
    """Writes the lines of one session into segments. Synchronous; for one thread.

    Opens a segment with the first line it gets, so that a silent session leaves none. Numbers its segments 1, 2, 3 ….
    OSError means that nothing of the step was done: `write` left nothing of the batch in the segment, and the same call
    can be repeated. But for SyncFailed, from all but `write`: it is unknown what the disk holds, a repetition proves
    nothing and the process has to stop.
    """

    def __init__(
        self,
        spool: Spool,
        session: Session,
        max_bytes: int,
        max_age_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._session = session
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._monotonic = monotonic
        self._segment_no = 0
        self._segment: _Segment | None = None

    @property
    def current(self) -> SegmentName | None:
        """The segment that is open now."""
        return self._segment.name if self._segment else None

    def write(self, lines: bytes | bytearray) -> None:
        """Hand whole lines to the kernel: all of them, or none and OSError."""
        if not lines:
            return
        if not lines.endswith(b"\n"):
            raise ValueError("only whole lines can be written")
        if self._segment is None:
            name = SegmentName(self._session.streamer_id, self._session.session_id, self._segment_no + 1)
            self._segment = _Segment(self._spool, name, self._monotonic())
            self._segment_no += 1
        self._segment.append(lines)

    def sync(self) -> None:
        """Make all that was written durable."""
        if self._segment is not None:
            self._segment.sync()

    def check(self) -> SegmentName | None:
        """Let go of the segment when somebody rotated it, or rotate it when it is large or old enough; the name of
        the segment that was closed, which is durable then. To be called at every flush and at least every 100 ms."""
        segment = self._segment
        if segment is None:
            return None
        if segment.is_ours() and not self._is_due(segment):
            return None
        return self.close()

    def _is_due(self, segment: _Segment) -> bool:
        age = self._monotonic() - segment.opened_at
        return segment.size > 0 and (segment.size >= self._max_bytes or age >= self._max_age_seconds)

    def close(self) -> SegmentName | None:
        """Sync the open segment, put it into sealing/ and release it; its name. The next write opens a new one."""
        segment = self._segment
        if segment is None:
            return None
        # In this order it needs one sync. The sealer waits for the lock, and so for the sync.
        self._spool.rotate(segment.name)
        segment.close()
        self._segment = None
        return segment.name
