"""Step 5: segments whose rows are in the marts go to the archive."""

import logging
from typing import Any

from include.config import PipelineConfig
from include.pipeline.archives import archive_lock, open_archive
from include.spool import ArchiveDamaged, SegmentName, Spool, State
from include.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)


class SegmentsUnproven(Exception):
    """Segments lie in loaded/ that the ledger does not know as loaded. They were left there, all others archived."""


def archive_segments(spool: Spool, warehouse: Warehouse, config: PipelineConfig) -> dict[str, Any]:
    """Archive what is transformed. Segments that are loaded and not yet transformed wait.

    Raises, after all others are archived, ArchiveDamaged for segments that were not stored as they are, and
    SegmentsUnproven. Raises ArchiveBusy when another process changes the archive; SegmentMissing, ManifestInvalid or
    OSError from the spool, and what the archive's store raises.
    """
    names = spool.segments(State.LOADED)
    known = warehouse.ledger.known_segments(name.file_name for name in names)
    ready = [name for name in names if name.file_name in known and known[name.file_name].is_transformed]
    if ready:
        _take(spool, config, ready)
    unproven = [name for name in names if name.file_name not in known or not known[name.file_name].is_loaded]
    if unproven:
        raise SegmentsUnproven(_explain(spool, unproven))
    return {"archived": len(ready), "waiting": len(names) - len(ready)}


def _take(spool: Spool, config: PipelineConfig, names: list[SegmentName]) -> None:
    damaged = []
    archive = open_archive(spool, config)
    with archive_lock(spool):
        for name in names:
            try:
                archive.take(spool, name)
            except ArchiveDamaged as error:
                log.error("%s", error)
                damaged.append(error)
    if damaged:
        raise damaged[0]


def _explain(spool: Spool, unproven: list[SegmentName]) -> str:
    return (
        f"{len(unproven)} segments in {spool.folder(State.LOADED)} are not loaded according to the ledger, first "
        f"{unproven[0].file_name}. Hint: if the warehouse was emptied, move them and their manifests back to "
        f"{spool.folder(State.SEALED)}: they are loaded again"
    )
