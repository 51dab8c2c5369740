"""From sealed segments to batches in the ledger: written ahead, before anything of them is submitted."""

import logging
from typing import NamedTuple

from include.config import PipelineConfig
from include.spool import Manifest, SegmentName, Spool, State
from include.warehouse.batch_reader import SegmentChanged
from include.warehouse.batches import Batch, compose
from include.warehouse.ledger import KnownSegment
from include.warehouse.quota import Allowance, BatchSize
from include.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)


class Composition(NamedTuple):
    """What composing did. `widened`: by how much batches are larger than configured, to stay within the quota;
    `waiting`: segments left in sealed/ because only the reserve of load jobs is left."""

    batches: list[Batch]
    moved: int
    widened: int
    waiting: int


def compose_batches(spool: Spool, warehouse: Warehouse, config: PipelineConfig, *, run_id: str) -> Composition:
    """Move segments that are loaded already, and put all others that are in no batch into new ones, written down.

    To be called under the loader lock. Raises SegmentChanged, LedgerError, SpoolError, and what the client library
    raises.
    """
    names = spool.segments(State.SEALED)
    known = warehouse.ledger.known_segments(name.file_name for name in names)
    moved = _move_loaded(spool, known)
    manifests = [_manifest(spool, name) for name in names if name.file_name not in known]
    batches, widened = _within_quota(manifests, warehouse, config)
    for batch in batches:
        warehouse.ledger.compose(batch, dag_run_id=run_id)
    return Composition(batches, moved, widened, len(manifests) - sum(len(batch.segments) for batch in batches))


def _move_loaded(spool: Spool, known: dict[str, KnownSegment]) -> int:
    """A run died between ledger and folder: only the folder is behind."""
    moved = 0
    for segment in known.values():
        name = SegmentName.parse(segment.segment)
        manifest = spool.manifest(name, State.SEALED)
        if manifest.sha256 != segment.sha256:
            raise SegmentChanged(
                spool.path(name, State.SEALED),
                f"has SHA-256 {manifest.sha256} by its manifest; batch {segment.batch_id} has {segment.sha256} under "
                f"this name",
            )
        if segment.is_loaded:
            spool.mark_loaded(name)
            moved += 1
    return moved


def _manifest(spool: Spool, name: SegmentName) -> Manifest:
    """A segment's manifest, checked against the file's size: what cannot be loaded must not be written down.

    The hash is checked in the upload, which reads the file anyway.
    """
    manifest = spool.manifest(name, State.SEALED)
    path = spool.path(name, State.SEALED)
    if path.stat().st_size != manifest.bytes:
        raise SegmentChanged(path, f"has {path.stat().st_size} bytes, its manifest says {manifest.bytes}")
    return manifest


def _within_quota(manifests: list[Manifest], warehouse: Warehouse, config: PipelineConfig) -> tuple[list[Batch], int]:
    """Batches of the configured size, or fewer and larger ones, or the oldest only; and by how much they are larger."""
    if not manifests:
        return [], 1
    table_id = warehouse.messages_id
    usual = BatchSize(config.batch_max_bytes, config.batch_max_segments)
    allowance = Allowance.of(warehouse.ledger.jobs_of_last_day(table_id), config.schedule_seconds)
    size, factor = usual, 1
    while True:
        batches = compose(manifests, table_id=table_id, max_bytes=size.bytes, max_segments=size.segments)
        larger = usual.widened(factor * allowance.widening(len(batches)))
        if len(batches) <= allowance.batches or larger == size or allowance.batches == 0:
            break
        size, factor = larger, factor * allowance.widening(len(batches))
    if factor > 1 or len(batches) > allowance.batches:
        log.warning("%s; batches are %d times as large as usual", allowance.explain(), factor)
    return batches[: allowance.batches], factor
