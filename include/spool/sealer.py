"""Sealing: from a segment that nobody writes any more to a complete, proven, immutable one."""

import contextlib
import enum
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from . import durable
from .errors import SegmentInvalid
from .inspector import Inspector
from .manifest import Manifest
from .names import FORMAT_VERSION, SegmentName
from .quarantine import cut_torn_tail, quarantine_segment
from .scanner import scan
from .spool import Spool, State
from .timestamps import format_us

_LOCK_POLL_SECONDS = 0.01


class SealKind(enum.StrEnum):
    """How an attempt to seal a segment ended."""

    SEALED = "sealed"
    """In sealed/, with its manifest."""
    EMPTY = "empty"
    """It had no record and is deleted."""
    BUSY = "busy"
    """Its writer did not let go in time; it waits in sealing/ for the next run."""
    QUARANTINED = "quarantined"
    """It breaks the format; it lies in quarantined/ with the reason."""
    GONE = "gone"
    """Not in sealing/: somebody else sealed it."""


class SealOutcome(NamedTuple):
    """`manifest` is there when sealed, `reason` when quarantined."""

    name: SegmentName
    kind: SealKind
    manifest: Manifest | None = None
    reason: str | None = None


class SealReport(NamedTuple):
    """What one run of the sealer did."""

    rotated: list[SegmentName]
    outcomes: list[SealOutcome]

    def of(self, kind: SealKind) -> list[SealOutcome]:
        """The outcomes of one kind, in the order of the segments."""
        return [outcome for outcome in self.outcomes if outcome.kind is kind]


def seal_all(
    spool: Spool,
    timeout_seconds: float,
    clock_ns: Callable[[], int] = time.time_ns,
    inspector: Inspector | None = None,
) -> SealReport:
    """Rotate every active segment that has data, then seal everything in sealing/.

    `timeout_seconds` bounds the time spent waiting for writers, over all segments. OSError (a full disk) passes
    through; what is done is done, and the next run goes on from there.
    """
    rotated = spool.rotate_all()
    deadline = time.monotonic() + timeout_seconds
    outcomes = [
        seal(spool, name, max(0.0, deadline - time.monotonic()), clock_ns, inspector)
        for name in spool.segments(State.SEALING)
    ]
    return SealReport(rotated, outcomes)


def seal(
    spool: Spool,
    name: SegmentName,
    timeout_seconds: float,
    clock_ns: Callable[[], int] = time.time_ns,
    inspector: Inspector | None = None,
) -> SealOutcome:
    """Seal one segment of sealing/, waiting at most `timeout_seconds` for its writer to let go.

    How its messages differ from the inspector's contracts goes into the manifest and never stops the sealing.

    Any number of sealers may try at once; one does it. Can be repeated after a crash at any point.
    """
    try:
        with _locked(spool.path(name, State.SEALING), timeout_seconds) as fd:
            return _seal_locked(spool, name, fd, clock_ns, inspector)
    except _Gone:
        return SealOutcome(name, SealKind.GONE)
    except _Busy:
        return SealOutcome(name, SealKind.BUSY)


def _seal_locked(
    spool: Spool, name: SegmentName, fd: int, clock_ns: Callable[[], int], inspector: Inspector | None
) -> SealOutcome:
    path = spool.path(name, State.SEALING)
    if spool.is_finished(name, fd):
        durable.remove(path)
        return SealOutcome(name, SealKind.GONE)
    torn_bytes = cut_torn_tail(spool, name, fd, clock_ns())
    try:
        with path.open("rb", buffering=0) as file:
            summary = scan(file, name, inspector)
    except SegmentInvalid as error:
        quarantine_segment(spool, name, error, clock_ns())
        return SealOutcome(name, SealKind.QUARANTINED, reason=str(error.args[0]))
    if summary is None:
        durable.remove(path)
        return SealOutcome(name, SealKind.EMPTY)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        segment=name.file_name,
        source=spool.source,
        streamer_id=name.streamer_id,
        session_id=name.session_id,
        segment_no=name.segment_no,
        torn_bytes=torn_bytes,
        sealed_at=format_us(clock_ns() // 1000),
        **msgspec.structs.asdict(summary),
    )
    manifest.write(spool.manifest_path(name, State.SEALED))
    os.fchmod(fd, 0o444)
    os.fsync(fd)
    durable.rename_durable(path, spool.path(name, State.SEALED))
    return SealOutcome(name, SealKind.SEALED, manifest=manifest)


class _Gone(Exception):
    """The name does not, or no longer, point to the file that was opened."""


class _Busy(Exception):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def _locked(path: Path, timeout_seconds: float) -> Iterator[int]:
    """The descriptor of a file under its exclusive lock."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise _Gone from error
    try:
        _wait_for_lock(fd, time.monotonic() + timeout_seconds)
        if not _points_to(path, fd):
            raise _Gone
        yield fd
    finally:
        os.close(fd)


def _wait_for_lock(fd: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise _Busy from error
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


def _points_to(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
