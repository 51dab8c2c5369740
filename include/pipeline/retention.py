"""How long the archive is kept: by age and by size, the oldest day first."""

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from include.config import PipelineConfig
from include.pipeline.archives import archive_lock, open_archive
from include.spool import Archive, ArchivedSegment, ManifestInvalid, Spool, UnknownFormat
from include.warehouse.ledger import KnownSegment
from include.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)


def apply_retention(
    spool: Spool, warehouse: Warehouse, config: PipelineConfig, *, now: datetime | None = None
) -> dict[str, Any]:
    """Delete what PULSE_ARCHIVE_MAX_DAYS and PULSE_ARCHIVE_MAX_BYTES call too old or too much; nothing by default.

    A segment goes only when its bytes are those of its manifest, and the ledger says that the same bytes are in the
    marts; others are kept, and counted as `unproven`. A segment's age is that of its day. Raises ArchiveBusy, and what
    the store and the client library raise; it can be repeated.
    """
    archive = open_archive(spool, config)
    deleted = unproven = freed = 0
    with archive_lock(spool):
        segments = archive.segments()
        due = list(_due(segments, config, now or datetime.now(UTC)))
        known = warehouse.ledger.known_segments(segment.name.file_name for segment in due)
        for segment in due:
            if _is_proven(archive, segment, known.get(segment.name.file_name)):
                archive.remove(segment)
                log.info("deleted %s, %d bytes", segment.key, segment.bytes)
                deleted, freed = deleted + 1, freed + segment.bytes
            else:
                log.warning("%s is due and not proven: it is kept. Hint: fsck --deep says why", segment.key)
                unproven += 1
    kept = sum(segment.bytes for segment in segments) - freed
    return {"deleted": deleted, "freed_bytes": freed, "unproven": unproven, "kept_bytes": kept}


def _due(segments: Iterable[ArchivedSegment], config: PipelineConfig, now: datetime) -> Iterator[ArchivedSegment]:
    ordered = sorted(segments)
    first_day = "" if config.archive_max_days is None else f"{now - timedelta(days=config.archive_max_days):%Y-%m-%d}"
    left = sum(segment.bytes for segment in ordered)
    for segment in ordered:
        is_over = config.archive_max_bytes is not None and left > config.archive_max_bytes
        if segment.day >= first_day and not is_over:
            return
        left -= segment.bytes
        yield segment


def _is_proven(archive: Archive, segment: ArchivedSegment, known: KnownSegment | None) -> bool:
    try:
        manifest = archive.manifest(segment)
    except (ManifestInvalid, UnknownFormat):
        return False
    is_in_marts = known is not None and known.is_transformed and known.sha256 == manifest.sha256
    return is_in_marts and archive.is_proven(segment)
