"""The ledger: which segments are in which batch, and how far each batch has come. Table `batches` of the ops dataset.

composed → loaded → transformed, each a timestamp that is set once. Every method is one statement, which can be
repeated after a lost reply or a crash. The statements are in `sql/`; their values are always parameters.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from include.spool import SegmentName
from include.warehouse.batches import Batch
from include.warehouse.statements import Statements


class LedgerError(Exception):
    """The ledger refuses, or contradicts what the caller knows. Nothing was changed."""


class UnfinishedBatch(msgspec.Struct, frozen=True):
    """A batch that is written down and not known to be loaded. `attempt` is the one to submit or adopt."""

    batch: Batch
    attempt: int


class BatchState(msgspec.Struct, frozen=True):
    """A batch that is written down, and whether it is closed."""

    batch: Batch
    attempt: int
    is_loaded: bool


class LoadedBatch(msgspec.Struct, frozen=True):
    """A batch that is in raw and not in the marts."""

    batch_id: str
    records: int
    received_at_min: str
    received_at_max: str
    traded_at_min: str | None
    traded_at_max: str | None


class KnownSegment(msgspec.Struct, frozen=True):
    """Where a segment stands."""

    segment: str
    sha256: str
    batch_id: str
    is_loaded: bool
    is_transformed: bool


class RecentBatch(msgspec.Struct, frozen=True):
    """A batch as an operator looks at it; instants that have not come are None."""

    batch_id: str
    dag_run_id: str
    attempt: int
    job_id: str | None
    segments: int
    records: int
    bytes: int
    output_rows: int | None
    received_at_min: str
    received_at_max: str
    traded_at_max: str | None
    composed_at: str
    loaded_at: str | None
    transformed_at: str | None


class Ledger:
    """All methods raise what `Statements` raises."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def compose(self, batch: Batch, *, dag_run_id: str) -> None:
        """Write a batch down, before anything of it is submitted. One that is there already stays as it is.

        Raises LedgerError when a segment belongs to another batch.
        """
        names = [segment.segment for segment in batch.segments]
        written = self._statements.change(
            "compose_batch",
            batch_id=batch.batch_id,
            source=batch.source,
            table_id=batch.table_id,
            dag_run_id=dag_run_id,
            records=batch.records,
            bytes=batch.bytes,
            # One JSON text: as an array of structs the request of a large batch would pass BigQuery's 10 MB.
            segments=msgspec.json.encode(batch.segments).decode(),
            segment_names=names,
            not_before=_not_before(names),
            received_at_min=batch.received_at_min,
            received_at_max=batch.received_at_max,
            traded_at_min=batch.traded_at_min,
            traded_at_max=batch.traded_at_max,
        )
        if not written:
            self._check_composed(batch, names)

    def unfinished(self) -> list[UnfinishedBatch]:
        """Batches to finish under their own ids before any new one is composed; the oldest first."""
        return [
            UnfinishedBatch(msgspec.convert(row, Batch), attempt=row["attempt"])
            for row in self._statements.rows("unfinished_batches")
        ]

    def state(self, batch_id: str) -> BatchState:
        """How far a batch has come. Raises LedgerError for one that was never written down."""
        for row in self._statements.rows("batch_state", batch_id=batch_id):
            return BatchState(msgspec.convert(row, Batch), attempt=row["attempt"], is_loaded=row["is_loaded"])
        raise LedgerError(f"batch {batch_id} is not in the ledger. Hint: ids are 32 hex digits, see ops.batches")

    def jobs_of_last_day(self, table_id: str) -> int:
        """Load jobs into a table within the last 24 hours, failed ones included: BigQuery counts them all."""
        (row,) = self._statements.rows("jobs_of_last_day", table_id=table_id)
        return int(row["jobs"])

    def next_attempt(self, batch: Batch, failed_attempt: int) -> int:
        """Write down that an attempt's job has failed; returns the attempt to submit now.

        To be called before that attempt is submitted, and only for a job that is known to have ended with an error.
        """
        self._statements.change("next_attempt", batch_id=batch.batch_id, failed_attempt=failed_attempt)
        return failed_attempt + 1

    def mark_loaded(self, batch: Batch, *, job_id: str, output_rows: int, loaded_at: datetime) -> None:
        """Close a batch: its job has ended well and brought every row but its dead letters. A batch that is closed
        stays as it is."""
        self._statements.change(
            "mark_loaded", batch_id=batch.batch_id, job_id=job_id, output_rows=output_rows, loaded_at=loaded_at
        )

    def loaded_not_transformed(self) -> list[LoadedBatch]:
        """What the next window covers, the oldest load first."""
        return [msgspec.convert(row, LoadedBatch) for row in self._statements.rows("loaded_batches")]

    def mark_transformed(self, batch_ids: Sequence[str], run_id: str) -> int:
        """Mark loaded batches as being in the marts; returns how many were marked now. Marked ones stay as they are."""
        return self._statements.change("mark_transformed", batch_ids=list(batch_ids), run_id=run_id)

    def known_segments(self, names: Iterable[str]) -> dict[str, KnownSegment]:
        """Of these segments, the ones that are in a batch, by name."""
        wanted = list(names)
        if not wanted:
            return {}
        rows = self._statements.rows("known_segments", segment_names=wanted, not_before=_not_before(wanted))
        return {row["segment"]: msgspec.convert(row, KnownSegment) for row in rows}

    def recent(self, count: int) -> list[RecentBatch]:
        """The batches composed last, the newest first."""
        return [msgspec.convert(row, RecentBatch) for row in self._statements.rows("recent_batches", count=count)]

    def transformed_until(self) -> str | None:
        """Exchange time of the newest trade that is in the marts, None before the first."""
        (row,) = self._statements.rows("transformed_until")
        traded_at: str | None = row["traded_at"]
        return traded_at

    def _check_composed(self, batch: Batch, names: list[str]) -> None:
        known = self.known_segments(names)
        others = sorted({segment.batch_id for segment in known.values()} - {batch.batch_id})
        if others or len(known) != len(names):
            raise LedgerError(
                f"batch {batch.batch_id} was not written down: of its {len(names)} segments some are in "
                f"{', '.join(others) or 'no batch'}. Hint: another loader composes batches from the same spool; "
                f"one of them has to stop"
            )


def _not_before(names: Iterable[str]) -> datetime:
    """No batch whose last record is older can hold one of these segments: a session's records come after its start,
    which is in the name. So a ledger of years costs no more than the batches since then. A day is left for clocks.
    """
    started = min(SegmentName.parse(name).session_id for name in names)
    return datetime.strptime(started[:8], "%Y%m%d").replace(tzinfo=UTC) - timedelta(days=1)
