"""Keeps what cannot be used, beside the reason why."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from . import durable
from .errors import SegmentInvalid
from .names import REASON_SUFFIX, SegmentName
from .spool import Spool, State
from .timestamps import format_us

_BLOCK_BYTES = 64 * 1024


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a `.reason.json`. `offset` is where in the segment the trouble begins, `line_no` counts from 1."""

    segment: str
    reason: str
    line_no: int | None
    offset: int
    quarantined_at: str

    def write_beside(self, path: Path) -> None:
        """Write the reason of the file `path`. Comes first, so that a file in quarantine always has its reason."""
        durable.write_atomic(path.with_name(path.name + REASON_SUFFIX), [msgspec.json.encode(self), b"\n"])


def quarantine_segment(spool: Spool, name: SegmentName, error: SegmentInvalid, now_ns: int) -> None:
    """Take a whole segment out of sealing/."""
    target = spool.path(name, State.QUARANTINED)
    Reason(
        segment=name.file_name,
        reason=error.reason,
        line_no=error.line_no,
        offset=error.offset,
        quarantined_at=format_us(now_ns // 1000),
    ).write_beside(target)
    durable.rename_durable(spool.path(name, State.SEALING), target)


def cut_torn_tail(spool: Spool, name: SegmentName, fd: int, now_ns: int) -> int:
    """Move the torn tail of a segment in sealing/ into quarantine; its size.

    The tail is what follows the last line feed, and after a power cut the first line with a byte that the disk never
    got, which reads as zero and occurs in no line, and all behind it.

    `fd` is the segment, opened for reading and locked by the caller. A tail that an earlier, interrupted call cut off
    already is counted.
    """
    torn = spool.folder(State.QUARANTINED) / name.torn_name
    size = os.fstat(fd).st_size
    whole = _size_of_whole_lines(fd, size)
    if whole < size:
        Reason(
            segment=name.file_name,
            reason="torn: the writer died in this line",
            line_no=None,
            offset=whole,
            quarantined_at=format_us(now_ns // 1000),
        ).write_beside(torn)
        durable.write_atomic(torn, _blocks(fd, whole, size))
        durable.truncate(spool.path(name, State.SEALING), whole)
    return torn.stat().st_size if torn.exists() else 0


def _size_of_whole_lines(fd: int, size: int) -> int:
    """Where the tail begins: behind a line feed, or at 0."""
    end = min(size, _first_zero(fd, size))
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _first_zero(fd: int, size: int) -> int:
    offset = 0
    for block in _blocks(fd, 0, size):
        found = block.find(b"\0")
        if found >= 0:
            return offset + found
        offset += len(block)
    return size


def _blocks(fd: int, start: int, end: int) -> Iterator[bytes]:
    for offset in range(start, end, _BLOCK_BYTES):
        yield os.pread(fd, min(_BLOCK_BYTES, end - offset), offset)
