"""Hours of the archive, loaded again into datasets of another prefix, and proven to be the same records.

The segments are copied into a spool of the replay's own and take the usual path from there. So a replay that was
interrupted goes on where it was when it is repeated, and what was loaded is not loaded again.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from include.config import PipelineConfig
from include.pipeline.archives import open_archive
from include.pipeline.loader_lock import LoaderBusy, spool_lock
from include.pipeline.loading import load_segments
from include.spool import Archive, ArchivedSegment, Manifest, Spool, State, open_segment, restore
from include.warehouse.warehouse import Warehouse

LOCK_NAME = "_replay.lock"

log = logging.getLogger(__name__)


class ReplayError(Exception):
    """The replay was not begun, or did not bring what it should."""


class ReplaySegment(NamedTuple):
    """A segment to replay: in the archive, or in loaded/."""

    manifest: Manifest
    archived: ArchivedSegment | None
    path: Path | None


class _Comparison(msgspec.Struct):
    """Records of both raw tables, counted."""

    identical: int = 0
    different: int = 0
    only_here: int = 0
    only_there: int = 0


def replay(
    spool: Spool,
    warehouse: Warehouse,
    target: Warehouse,
    config: PipelineConfig,
    *,
    received_from: datetime,
    received_to: datetime,
    run_id: str,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Load whole segments that hold a receipt from `received_from` on and before `received_to`; both are UTC instants.

    `target` is the warehouse under another prefix. Records that the original raw table has no more (expired) are
    counted as `only_there` and are no error. Raises ReplayError when the target is the original raw table, when records
    differ or are missing, or when nothing is found; LoaderBusy, and what `load_segments` raises.
    """
    archive = open_archive(spool, config)
    segments = list(select_segments(spool, archive, received_from, received_to))
    if not segments:
        raise ReplayError(
            f"no segment in {State.LOADED}/ or the archive has a receipt between {received_from.isoformat()} and "
            f"{received_to.isoformat()}. Hint: times are UTC; retention may have deleted them"
        )
    outcome: dict[str, Any] = {
        "into": target.messages_id,
        "segments": len(segments),
        "records": sum(segment.manifest.records for segment in segments),
        "received_at_min": min(segment.manifest.received_at_min for segment in segments),
        "received_at_max": max(segment.manifest.received_at_max for segment in segments),
    }
    if dry_run:
        return outcome
    for either in (warehouse, target):
        either.prepare()
    _check_target(warehouse, target, segments)
    work = config.home / "replay" / target.config.datasets().raw
    copies = Spool.open(work, spool.source, create=True)
    with spool_lock(copies, LOCK_NAME, LoaderBusy):
        for segment in segments:
            copy_segment(archive, segment, copies)
        loaded = load_segments(copies, target, config, run_id=run_id)
        if loaded["faults"]:
            raise ReplayError("; ".join(loaded["faults"]))
        if loaded["waiting_for_quota"]:
            raise ReplayError(f"{loaded['waiting_for_quota']} segments wait for the quota. Hint: repeat it tomorrow")
        shutil.rmtree(work)
    comparison = _compare(warehouse, target, segments)
    if comparison.different or comparison.only_here:
        raise ReplayError(
            f"{target.messages_id} is not the same: {comparison.different} records differ, {comparison.only_here} are "
            f"missing, {comparison.identical} are identical. Hint: compare the dead letters of both; the replay can be "
            f"repeated after its datasets were deleted"
        )
    return {**outcome, "loaded_records": loaded["records"], **msgspec.to_builtins(comparison)}


def select_segments(
    spool: Spool, archive: Archive, received_from: datetime, received_to: datetime
) -> Iterator[ReplaySegment]:
    """The segments of loaded/ and the archive that hold a receipt in the time, each once."""
    first, last = _text(received_from), _text(received_to)
    found = set()
    for name in spool.segments(State.LOADED):
        manifest = spool.manifest(name, State.LOADED)
        if manifest.received_at_min < last and manifest.received_at_max >= first:
            found.add(name)
            yield ReplaySegment(manifest, None, spool.path(name, State.LOADED))
    for segment in archive.segments():
        if segment.day > last[:10] or segment.name in found:
            continue
        manifest = archive.manifest(segment)
        if manifest.received_at_min < last and manifest.received_at_max >= first:
            yield ReplaySegment(manifest, segment, None)


def _check_target(warehouse: Warehouse, target: Warehouse, segments: Sequence[ReplaySegment]) -> None:
    names = {segment.manifest.segment for segment in segments}
    if target.messages_id == warehouse.messages_id:
        raise ReplayError(
            f"{target.messages_id} is where the segments were loaded into: every record would be there twice. Hint: "
            f"give another --dataset-prefix. Removed rows come back by make backfill MODE=replay (docs/backfill.md)"
        )
    for entry in target.ledger.unfinished():
        if not names.issuperset(segment.segment for segment in entry.batch.segments):
            raise ReplayError(
                f"batch {entry.batch.batch_id} of another replay into {target.messages_id} is unfinished. Hint: repeat "
                f"that one, from {entry.batch.received_at_min} to {entry.batch.received_at_max}, or delete its datasets"
            )


def copy_segment(archive: Archive, segment: ReplaySegment, copies: Spool) -> None:
    """Put a copy into the sealed/ of a spool. Raises ArchiveDamaged."""
    source = archive.open(segment.archived) if segment.archived else open_segment(segment.path or Path())
    with source:
        restore(copies, segment.manifest, source)


def _compare(warehouse: Warehouse, target: Warehouse, segments: Sequence[ReplaySegment]) -> _Comparison:
    """Both tables hold a record once, in one order: one pass through both."""
    result = _Comparison()
    here, there = _records(warehouse, segments), _records(target, segments)
    left, right = next(here, None), next(there, None)
    while left or right:
        if right is None or (left and left[0] < right[0]):
            result.only_here += 1
            left = next(here, None)
        elif left is None or right[0] < left[0]:
            result.only_there += 1
            right = next(there, None)
        else:
            result.identical += left == right
            result.different += left != right
            left, right = next(here, None), next(there, None)
    return result


def _records(warehouse: Warehouse, segments: Sequence[ReplaySegment]) -> Iterator[tuple[tuple[str, str, int], str]]:
    ranges = [
        {
            "streamer_id": segment.manifest.streamer_id,
            "session_id": segment.manifest.session_id,
            "first_record_no": segment.manifest.first_record_no,
            "last_record_no": segment.manifest.last_record_no,
        }
        for segment in segments
    ]
    rows = warehouse.statements.rows(
        "record_hashes",
        received_from=min(segment.manifest.received_at_min for segment in segments),
        received_to=max(segment.manifest.received_at_max for segment in segments),
        segments=msgspec.json.encode(ranges).decode(),
    )
    for row in rows:
        yield (row["streamer_id"], row["session_id"], row["record_no"]), row["content"]


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
