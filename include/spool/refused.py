"""Copies of lines that the warehouse refuses, in quarantine. Their segment stays whole where it is."""

from collections.abc import Set

from . import durable
from .names import SegmentName
from .quarantine import Reason
from .spool import Spool, State
from .timestamps import format_us


def keep_refused_lines(spool: Spool, name: SegmentName, line_nos: Set[int], error: str, *, now_ns: int) -> None:
    """Write these lines of a segment in sealed/, byte for byte, and the reason beside them.

    `error` is what was wrong with the first. A repetition, also with more lines, replaces both files.
    """
    lines: list[bytes] = []
    offset = first_offset = 0
    with spool.path(name, State.SEALED).open("rb") as file:
        for line_no, line in enumerate(file, start=1):
            if line_no in line_nos:
                first_offset = first_offset if lines else offset
                lines.append(line)
            offset += len(line)
    target = spool.folder(State.QUARANTINED) / name.refused_name
    Reason(
        segment=name.file_name,
        reason=f"refused by the warehouse: {error}",
        line_no=min(line_nos),
        offset=first_offset,
        quarantined_at=format_us(now_ns // 1000),
    ).write_beside(target)
    durable.write_atomic(target, lines)
