"""Lines that cannot be used as they are: table `dead_letters` of the ops dataset.

A refused line is written down *before* its batch is submitted without it, and never taken out again. So what a job of
the batch has to bring is always known: its records less its refused lines.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from include.spool.envelope import split
from include.warehouse.batch_reader import BatchLine
from include.warehouse.batches import Batch
from include.warehouse.statements import Statements

#: BigQuery takes requests of 10 MB; a letter with a longer line goes without it.
_LINE_MAX_BYTES = 1024 * 1024
_REQUEST_BYTES = 4 * 1024 * 1024


class Reason(StrEnum):
    """Why a line is a dead letter."""

    REFUSED = "refused"
    UNDECODABLE = "undecodable"


class BadLine(msgspec.Struct, frozen=True):
    """A line that BigQuery does not take, and what is wrong with it."""

    line: BatchLine
    error: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table that has not been redriven."""

    segment: str
    line_no: int
    batch_id: str
    record_no: int
    received_at: str
    reason: Reason
    error: str
    line: str | None
    line_bytes: int
    is_loaded: bool
    first_seen: str
    redriven_to: str | None

    @property
    def key(self) -> str:
        """Names the letter."""
        return letter_key(self.segment, self.line_no)


class _Letter(msgspec.Struct, frozen=True, kw_only=True):
    segment: str
    line_no: int
    record_no: int
    received_at: str
    reason: Reason
    error: str
    line: str | None
    line_bytes: int


def letter_key(segment: str, line_no: int) -> str:
    """Names a letter in one text."""
    return f"{segment}:{line_no}"


class DeadLetters:
    """Every method can be repeated; all raise what `Statements` raises."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add_refused(self, batch: Batch, bad_lines: Sequence[BadLine]) -> None:
        """Write down lines that the batch will be loaded without. Those that are there already stay as they are."""
        for group in _groups([_letter(bad) for bad in bad_lines]):
            self._statements.change(
                "add_dead_letters", batch_id=batch.batch_id, letters=msgspec.json.encode(group).decode()
            )

    def add_undecodable(self, batch: Batch) -> int:
        """List the malformed records of a batch whose rows are in raw; how many were new. One statement."""
        return self._statements.change(
            "add_undecodable",
            batch_id=batch.batch_id,
            received_at_min=batch.received_at_min,
            received_at_max=batch.received_at_max,
        )

    def refused(self, batch_id: str) -> dict[str, set[int]]:
        """Line numbers to leave out of the batch's upload, by segment."""
        excluded: dict[str, set[int]] = {}
        for row in self._statements.rows("exclusions", batch_id=batch_id):
            excluded.setdefault(row["segment"], set()).add(row["line_no"])
        return excluded

    def open(self) -> list[DeadLetter]:
        """Letters that were not redriven, in the order of their receipt."""
        return [msgspec.convert(row, DeadLetter) for row in self._statements.rows("open_dead_letters")]

    def plan_redrive(self, keys: Sequence[str], redriven_to: str) -> None:
        """Note the segment that these letters will go to, before it is written."""
        self._statements.change("plan_redrive", keys=list(keys), redriven_to=redriven_to)

    def close_redrive(self, redriven_to: str) -> int:
        """Mark the letters that went to this segment, which is in the spool; how many were marked now."""
        return self._statements.change("close_redrive", redriven_to=redriven_to)


def _letter(bad: BadLine) -> _Letter:
    envelope, _ = split(bad.line.line)
    line = bad.line.line
    return _Letter(
        segment=bad.line.segment,
        line_no=bad.line.line_no,
        record_no=envelope.record_no,
        received_at=envelope.received_at,
        reason=Reason.REFUSED,
        error=bad.error,
        line=line.decode() if len(line) <= _LINE_MAX_BYTES else None,
        line_bytes=len(line),
    )


def _groups(letters: list[_Letter]) -> Iterator[list[_Letter]]:
    group: list[_Letter] = []
    size = 0
    for letter in letters:
        length = len(letter.line or "") + 500
        if group and size + length > _REQUEST_BYTES:
            yield group
            group, size = [], 0
        group.append(letter)
        size += length
    if group:
        yield group
