"""What the warehouse says about itself, for comparing it with the spool. Reads only."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from include.spool import SegmentName
from include.warehouse.statements import Statements


class AuditedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch. `refused` counts its dead letters that are not in raw."""

    batch_id: str
    table_id: str
    attempt: int
    records: int
    received_at_min: str
    received_at_max: str
    is_loaded: bool
    age_seconds: int
    refused: int
    segments: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows that raw has to have of it."""
        return self.records - self.refused


class AuditedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment of a batch. `is_recent`: its batch is within the audited time, not only its session."""

    segment: str
    streamer_id: str
    session_id: str
    first_record_no: int
    last_record_no: int
    received_at_min: str
    is_loaded: bool
    is_recent: bool

    @property
    def name(self) -> SegmentName:
        """The segment's name, taken apart."""
        return SegmentName.parse(self.segment)


class BatchRows(msgspec.Struct, frozen=True):
    """How many rows in raw have this batch id."""

    batch_id: str
    row_count: int
    is_known: bool


class Audit:
    """All methods raise what `Statements` raises. `since` bounds when a batch was written down."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def batches(self, since: datetime) -> list[AuditedBatch]:
        """The batches since then and all unfinished ones, the oldest first."""
        return [
            msgspec.convert(row, AuditedBatch) for row in self._statements.rows("audit_batches", since=_text(since))
        ]

    def segments(self, since: datetime, session_ids: Iterable[str]) -> list[AuditedSegment]:
        """All segments of these sessions, and of those with a batch since then, session by session, in their order."""
        found = self._statements.rows("audit_segments", since=_text(since), session_ids=sorted(set(session_ids)))
        return [msgspec.convert(row, AuditedSegment) for row in found]

    def rows(self, received_from: str, received_to: str) -> list[BatchRows]:
        """Rows of raw between two receipts, both inclusive, by batch. Reads one column of that time."""
        found = self._statements.rows("audit_rows", received_from=received_from, received_to=received_to)
        return [msgspec.convert(row, BatchRows) for row in found]


def _text(instant: datetime) -> str:
    return instant.isoformat()
