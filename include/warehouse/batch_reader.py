"""A batch as one stream of lines: its segments end to end, with the batch id spliced into every line.

No temporary copy is written, and on the usual path no line is parsed: every line begins with exactly `{"received_at":`
and a raw line feed occurs only between lines (docs/spool-format.md), so replacing bytes is exact. Two kinds of segments
take a slower path, line by line: those with lines to leave out, and those with members that no column takes.
"""

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import BinaryIO

import msgspec

from include.warehouse.batches import Batch, BatchSegment

_LINE_START = b'{"received_at":'
_BLOCK_BYTES = 1024 * 1024
#: The column that takes the members no other column takes.
EXTRA = "extra"

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class SegmentChanged(Exception):
    """A segment's file is not what its batch names: missing, of another size, or of other bytes."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} {problem}. Nothing of it was loaded. Hint: a sealed segment must never change; restore the file "
            f"whose hash its manifest and the ledger (view segments in the ops dataset) name"
        )


class BatchLine(msgspec.Struct, frozen=True, gc=False):
    """A line of a batch. `line` is as in the segment, without its line feed; line numbers begin at 1."""

    segment: str
    line_no: int
    line: bytes


class BatchReader:
    """The upload of a batch in pieces of whole lines, from the beginning at every iteration.

    `excluded` names the line numbers to leave out by segment. `columns` are the columns of the table; of segments in
    `drifting`, members that are no column go into the column `extra`, their values verbatim. The last piece of a
    segment is handed out only after its hash was found right, so an upload of other bytes than the batch names never
    completes. Iterating raises SegmentChanged, and OSError from the files.
    """

    def __init__(
        self,
        batch: Batch,
        paths: Sequence[Path],
        *,
        excluded: Mapping[str, Set[int]] | None = None,
        drifting: Set[str] = frozenset(),
        columns: Set[str] = frozenset(),
        block_bytes: int = _BLOCK_BYTES,
    ) -> None:
        self._parts = list(zip(batch.segments, paths, strict=True))
        self._spliced_start = b'{"batch_id":"%b",%b' % (batch.batch_id.encode(), _LINE_START[1:])
        self._excluded = excluded or {}
        self._drifting = drifting
        self._columns = columns
        self._block_bytes = block_bytes
        self.excluded_records = sum(len(numbers) for numbers in self._excluded.values())
        self.records = batch.records - self.excluded_records

    def __iter__(self) -> Iterator[bytes]:
        for segment, path in self._parts:
            with _open(path) as file:
                yield from self._spliced(segment, path, file)

    def lines(self) -> Iterator[BatchLine]:
        """Every line that is not left out, in the order of the upload and as it lies in its segment."""
        for segment, path in self._parts:
            excluded = self._excluded.get(segment.segment, frozenset())
            with _open(path) as file:
                line_no = 0
                for block in _verified_lines(segment, path, file, self._block_bytes):
                    for line in block[:-1].split(b"\n"):
                        line_no += 1
                        if line_no not in excluded:
                            yield BatchLine(segment.segment, line_no, line)

    def spliced(self, line: BatchLine) -> bytes:
        """A line as it is uploaded, with its line feed."""
        return self._moved(line.line, drifting=line.segment in self._drifting) + b"\n"

    def _spliced(self, segment: BatchSegment, path: Path, file: BinaryIO) -> Iterator[bytes]:
        excluded = self._excluded.get(segment.segment, frozenset())
        drifting = segment.segment in self._drifting
        line_no = 0
        for block in _verified_lines(segment, path, file, self._block_bytes):
            # Only the start of the first line has no line feed before it.
            rest = block.removeprefix(_LINE_START).replace(b"\n" + _LINE_START, b"\n" + self._spliced_start)
            piece = self._spliced_start + rest
            added = len(self._spliced_start) - len(_LINE_START)
            if len(piece) != len(block) + block.count(b"\n") * added:
                raise SegmentChanged(path, f"has a line that does not begin with {_LINE_START.decode()}")
            if not excluded and not drifting:
                yield piece
                continue
            lines = block[:-1].split(b"\n")
            kept = [line for number, line in enumerate(lines, line_no + 1) if number not in excluded]
            line_no += len(lines)
            if kept:
                yield b"\n".join([self._moved(line, drifting=drifting) for line in kept]) + b"\n"

    def _moved(self, line: bytes, *, drifting: bool) -> bytes:
        spliced = self._spliced_start + line[len(_LINE_START) :]
        if not drifting:
            return spliced
        members = _decode_members(spliced)
        unknown = [name for name in members if name not in self._columns]
        if not unknown:
            return spliced
        extra = _object({name: bytes(members.pop(name)) for name in unknown})
        return _object({**{name: bytes(value) for name, value in members.items()}, EXTRA: extra})


def _object(members: Mapping[str, bytes]) -> bytes:
    """A JSON object of encoded values."""
    return b"{" + b",".join(_encode(name) + b":" + value for name, value in members.items()) + b"}"


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise SegmentChanged(path, "is missing") from error


def _verified_lines(segment: BatchSegment, path: Path, file: BinaryIO, block_bytes: int) -> Generator[bytes]:
    """The segment in pieces of whole lines. The last piece comes only when size and hash of the whole are right."""
    digest = hashlib.sha256()
    unread = segment.bytes
    pending = b""
    while unread:
        block = file.read(min(block_bytes, unread))
        if not block:
            raise SegmentChanged(path, f"is {unread} bytes shorter than the {segment.bytes} of its batch")
        unread -= len(block)
        digest.update(block)
        pending += block
        end = pending.rfind(b"\n") + 1
        if unread and end:
            yield pending[:end]
            pending = pending[end:]
    if file.read(1):
        raise SegmentChanged(path, f"is longer than the {segment.bytes} bytes of its batch")
    if digest.hexdigest() != segment.sha256:
        raise SegmentChanged(path, f"has SHA-256 {digest.hexdigest()}, its batch says {segment.sha256}")
    yield pending
