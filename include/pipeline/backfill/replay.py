"""Archived segments again into the raw table that their rows were removed from, on the usual way.

The segments are put back into sealed/ of the very spool they came from, and their batch is opened again in the ledger,
under the id of its next job: BigQuery never runs a job id twice, so a batch that was deleted from the ledger and
composed anew would adopt its old job and bring nothing. market_pulse then loads and transforms it: a second loader on
the same ledger would interleave with it. Into datasets of another prefix `include.pipeline.replaying` loads.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import msgspec

from include.config import PipelineConfig
from include.pipeline.archives import open_archive
from include.pipeline.backfill.state import RunFolder
from include.pipeline.loader_lock import LoaderBusy, loader_lock
from include.pipeline.replaying import ReplayError
from include.spool import Archive, ArchivedSegment, SegmentName, Spool, State, durable, restore
from include.warehouse.warehouse import Warehouse

_LOCK_TIMEOUT_SECONDS: Final = 120.0
_LOCK_POLL_SECONDS: Final = 0.5
_NAMED: Final = 5

log = logging.getLogger(__name__)


class _Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded batch, as the ledger and raw have it."""

    batch_id: str
    records: int
    bytes: int
    attempt: int
    row_count: int
    segments: list[str]


class _Noted(msgspec.Struct, frozen=True):
    """What a run brings again, decided once."""

    batches: list[_Batch]
    already_there: int

    @property
    def segments(self) -> list[str]:
        return [segment for batch in self.batches for segment in batch.segments]


def restore_batches(
    spool: Spool,
    warehouse: Warehouse,
    config: PipelineConfig,
    *,
    received_from: datetime,
    received_to: datetime,
    run_id: str,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Open the batches again that hold a receipt in the time and of which raw has no row; put back their segments.

    `received_to` is exclusive. Which ones is noted before the first is opened, so that a repetition goes on with them.
    Raises ReplayError, before anything is changed, when there is none, when raw has a part of one, and when the archive
    lacks a segment; LoaderBusy, ArchiveDamaged, OSError, and what the client library raises.
    """
    archive = open_archive(spool, config)
    archived = {segment.name.file_name: segment for segment in archive.segments()}
    path = RunFolder(spool, run_id).path / "replay.json"
    if path.exists():
        noted = msgspec.json.decode(path.read_bytes(), type=_Noted)
    else:
        noted = _choose(warehouse, archived, received_from, received_to)
        if not dry_run:
            durable.make_dir(path.parent)
            durable.write_atomic(path, [msgspec.json.encode(noted)])
    if not dry_run:
        for batch in noted.batches:
            _open_again(spool, warehouse, archive, archived, batch)
    return {
        "into": warehouse.messages_id,
        "batches": len(noted.batches),
        "segments": len(noted.segments),
        "records": sum(batch.records for batch in noted.batches),
        "bytes": sum(batch.bytes for batch in noted.batches),
        "batches_already_there": noted.already_there,
    }


def restored(spool: Spool, run_id: str) -> list[str]:
    """The names of the segments that a run brings again."""
    path = RunFolder(spool, run_id).path / "replay.json"
    return msgspec.json.decode(path.read_bytes(), type=_Noted).segments if path.exists() else []


def not_transformed(spool: Spool, warehouse: Warehouse, names: list[str]) -> dict[str, int]:
    """How many of these segments are not in the marts yet, by what they wait for; empty when all are."""
    known = warehouse.ledger.known_segments(names)
    waiting = {
        "not loaded": sum(name not in known or not known[name].is_loaded for name in names),
        "not transformed": sum(
            name in known and known[name].is_loaded and not known[name].is_transformed for name in names
        ),
        "not archived": sum(_is_in(spool, name, state) for name in names for state in (State.SEALED, State.LOADED)),
    }
    return {what: count for what, count in waiting.items() if count}


def _choose(warehouse: Warehouse, archived: dict[str, Any], start: datetime, end: datetime) -> _Noted:
    rows = warehouse.statements.rows("loaded_between", received_from=start, received_to=end)
    batches = [msgspec.convert(row, _Batch) for row in rows]
    removed = [batch for batch in batches if batch.row_count == 0]
    if not batches:
        raise ReplayError(
            "the ledger has no loaded batch with a receipt in this time. Hint: times are UTC, and a replay goes by "
            "receipts; trades of a time come by mode refetch"
        )
    if not removed:
        raise ReplayError(
            f"{warehouse.messages_id} has rows of all {len(batches)} batches of this time: every record would be there "
            f"twice. Hint: name another dataset_prefix; or set mode to rebuild to make the marts again from raw; or "
            f"delete the rows of the batches first, all of a batch: {_some(batch.batch_id for batch in batches)}"
        )
    lost = [name for batch in removed for name in batch.segments if name not in archived]
    if lost:
        raise ReplayError(
            f"the archive has {len(lost)} segments of these batches no more: {_some(lost)}. Hint: retention deletes "
            f"them; make the window shorter, or fetch the trades by mode refetch"
        )
    return _Noted(removed, len(batches) - len(removed))


def _open_again(
    spool: Spool, warehouse: Warehouse, archive: Archive, archived: dict[str, ArchivedSegment], batch: _Batch
) -> None:
    """Segments first, ledger second, both under the lock of the composer, which would take them for left behind."""
    state = warehouse.ledger.state(batch.batch_id)
    if (state.attempt, state.is_loaded) != (batch.attempt, True):
        log.info("batch %s was opened before", batch.batch_id)
        return
    with _patient_lock(spool):
        for name in batch.segments:
            segment = archived[name]
            with archive.open(segment) as content:
                restore(spool, archive.manifest(segment), content)
        warehouse.statements.change("reopen_batch", batch_id=batch.batch_id, loaded_attempt=batch.attempt)


@contextmanager
def _patient_lock(spool: Spool) -> Iterator[None]:
    """The loader lock; market_pulse holds it for seconds, and gets it again between two batches."""
    deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
    while True:
        try:
            with loader_lock(spool):
                yield
                return
        except LoaderBusy:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_LOCK_POLL_SECONDS)


def _is_in(spool: Spool, name: str, state: State) -> bool:
    return spool.path(SegmentName.parse(name), state).exists()


def _some(names: Any) -> str:
    listed = sorted(names)
    return ", ".join(listed[:_NAMED]) + (" …" if len(listed) > _NAMED else "")
