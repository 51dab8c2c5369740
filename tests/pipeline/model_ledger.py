"""The ledger, the dead letters and the drift log in memory, with the interfaces and the behaviour of the real ones.

`test_ledger_model.py` shows on the local warehouse that the ledger does the same for the same calls.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from include.config import WarehouseConfig
from include.spool import Manifest
from include.warehouse.batches import Batch
from include.warehouse.dead_letters import BadLine
from include.warehouse.ledger import BatchState, KnownSegment, LedgerError, LoadedBatch, UnfinishedBatch
from include.warehouse.warehouse import Warehouse


@dataclass
class Entry:
    """A row of the ledger."""

    batch: Batch
    attempt: int = 1
    job_id: str | None = None
    output_rows: int | None = None
    loaded_at: datetime | None = None
    is_transformed: bool = False


class ModelLedger:
    """See include.warehouse.ledger.Ledger. `call` is what every statement goes through."""

    def __init__(self, call: Callable[[Callable[[], object]], object] = lambda statement: statement()) -> None:
        self.entries: dict[str, Entry] = {}
        self._call = call

    def compose(self, batch: Batch, *, dag_run_id: str) -> None:
        """As the real one."""
        self._call(lambda: self._compose(batch))
        known = self.known_segments(segment.segment for segment in batch.segments)
        if {segment.batch_id for segment in known.values()} != {batch.batch_id} or len(known) != len(batch.segments):
            raise LedgerError("some segments are in another batch")

    def _compose(self, batch: Batch) -> None:
        names = {segment.segment for segment in batch.segments}
        taken = {item.segment for entry in self.entries.values() for item in entry.batch.segments}
        if batch.batch_id not in self.entries and not names & taken:
            self.entries[batch.batch_id] = Entry(batch)

    def unfinished(self) -> list[UnfinishedBatch]:
        """As the real one."""
        found: list[UnfinishedBatch] = []
        self._call(
            lambda: found.extend(
                UnfinishedBatch(entry.batch, entry.attempt)
                for entry in self.entries.values()
                if entry.loaded_at is None
            )
        )
        return found

    def state(self, batch_id: str) -> BatchState:
        """As the real one."""
        self._call(lambda: None)
        if batch_id not in self.entries:
            raise LedgerError(batch_id)
        entry = self.entries[batch_id]
        return BatchState(entry.batch, entry.attempt, entry.loaded_at is not None)

    def jobs_of_last_day(self, table_id: str) -> int:
        """As the real one; all of it happens within a day."""
        self._call(lambda: None)
        return sum(entry.attempt for entry in self.entries.values() if entry.batch.table_id == table_id)

    def next_attempt(self, batch: Batch, failed_attempt: int) -> int:
        """As the real one."""
        self._call(lambda: self._next_attempt(self.entries[batch.batch_id], failed_attempt))
        return failed_attempt + 1

    def _next_attempt(self, entry: Entry, failed_attempt: int) -> None:
        if entry.attempt == failed_attempt and entry.loaded_at is None:
            entry.attempt += 1

    def mark_loaded(self, batch: Batch, *, job_id: str, output_rows: int, loaded_at: datetime) -> None:
        """As the real one."""
        self._call(lambda: self._mark_loaded(self.entries[batch.batch_id], job_id, output_rows, loaded_at))

    def _mark_loaded(self, entry: Entry, job_id: str, output_rows: int, loaded_at: datetime) -> None:
        if entry.loaded_at is None:
            entry.job_id, entry.output_rows, entry.loaded_at = job_id, output_rows, loaded_at

    def loaded_not_transformed(self) -> list[LoadedBatch]:
        """As the real one."""
        self._call(lambda: None)
        waiting = [entry for entry in self.entries.values() if entry.loaded_at and not entry.is_transformed]
        ordered = sorted(waiting, key=lambda entry: (entry.loaded_at, entry.batch.batch_id))
        return [
            LoadedBatch(
                entry.batch.batch_id,
                entry.batch.records,
                entry.batch.received_at_min,
                entry.batch.received_at_max,
                entry.batch.traded_at_min,
                entry.batch.traded_at_max,
            )
            for entry in ordered
        ]

    def mark_transformed(self, batch_ids: Sequence[str], run_id: str) -> int:
        """As the real one."""
        marked: list[Entry] = []
        self._call(lambda: marked.extend(self._mark_transformed(batch_ids)))
        return len(marked)

    def _mark_transformed(self, batch_ids: Sequence[str]) -> list[Entry]:
        entries = [self.entries[batch_id] for batch_id in batch_ids if batch_id in self.entries]
        marked = [entry for entry in entries if entry.loaded_at and not entry.is_transformed]
        for entry in marked:
            entry.is_transformed = True
        return marked

    def known_segments(self, names: Iterable[str]) -> dict[str, KnownSegment]:
        """As the real one."""
        wanted = set(names)
        found: dict[str, KnownSegment] = {}
        self._call(lambda: found.update(self._known()))
        return {name: segment for name, segment in found.items() if name in wanted}

    def _known(self) -> dict[str, KnownSegment]:
        return {
            item.segment: KnownSegment(
                item.segment,
                item.sha256,
                entry.batch.batch_id,
                entry.loaded_at is not None,
                entry.is_transformed,
            )
            for entry in self.entries.values()
            for item in entry.batch.segments
        }


@dataclass
class ModelDeadLetters:
    """See include.warehouse.dead_letters.DeadLetters."""

    call: Callable[[Callable[[], object]], object]
    letters: dict[tuple[str, int], str] = field(default_factory=dict)
    """The batch of each line that was left out, by segment and line number."""

    def add_refused(self, batch: Batch, bad_lines: Sequence[BadLine]) -> None:
        """As the real one."""
        for bad in bad_lines:
            key = bad.line.segment, bad.line.line_no
            self.call(lambda key=key: self.letters.setdefault(key, batch.batch_id))  # type: ignore[misc]

    def add_undecodable(self, batch: Batch) -> int:
        """Only reads raw: nothing here depends on it."""
        self.call(lambda: None)
        return 0

    def refused(self, batch_id: str) -> dict[str, set[int]]:
        """As the real one."""
        self.call(lambda: None)
        excluded: dict[str, set[int]] = {}
        for (segment, line_no), owner in self.letters.items():
            if owner == batch_id:
                excluded.setdefault(segment, set()).add(line_no)
        return excluded


@dataclass
class ModelDriftLog:
    """See include.warehouse.drift.DriftLog. Nothing depends on what it keeps."""

    call: Callable[[Callable[[], object]], object]

    def add(self, manifests: Iterable[Manifest]) -> int:
        """As the real one."""
        self.call(lambda: None)
        return 0


class ModelWarehouse(Warehouse):
    """A warehouse whose tables need no preparation."""

    def prepare(self) -> list[str]:
        """All is there."""
        return []


def model_config() -> WarehouseConfig:
    """Of simulated data."""
    return WarehouseConfig(feed_url="ws://exchange.test")
