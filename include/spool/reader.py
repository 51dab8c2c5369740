"""Gives back what was received, from the lines of a segment."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from . import malformed
from .compression import open_segment
from .envelope import Envelope, LineInvalid, split
from .errors import SegmentInvalid
from .frames import CONTROL_PREFIX, MALFORMED


class StoredRecord(NamedTuple):
    """One line. `frame` is the received frame, byte for byte (but for raw line breaks and white space around a
    message); None for a control record."""

    envelope: Envelope
    type: str
    frame: bytes | None


class _Rest(msgspec.Struct):
    type: str


_decode_rest = msgspec.json.Decoder(_Rest).decode


def read_records(path: Path) -> Iterator[StoredRecord]:
    """The records of a sealed or archived segment, in order. Raises SegmentInvalid for a line that is none."""
    offset = 0
    with open_segment(path) as file:
        for line_no, line in enumerate(file, start=1):
            try:
                yield _record(line)
            except (LineInvalid, msgspec.DecodeError, UnicodeDecodeError) as error:
                raise SegmentInvalid(str(error), line_no=line_no, offset=offset, path=path) from error
            offset += len(line)


def _record(line: bytes) -> StoredRecord:
    envelope, rest = split(line[:-1])
    kind = _decode_rest(rest).type
    if kind == MALFORMED:
        return StoredRecord(envelope, kind, malformed.decode(rest))
    return StoredRecord(envelope, kind, None if kind.startswith(CONTROL_PREFIX) else rest)
