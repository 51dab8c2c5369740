"""Retention: what it deletes, in which order, and what it never touches."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from include.pipeline import archive_segments, close_window, open_window
from include.pipeline.archives import ArchiveBusy, archive_lock
from include.pipeline.retention import apply_retention
from include.spool import (
    Archive,
    RecordEncoder,
    SegmentName,
    SegmentWriter,
    Session,
    State,
    seal_all,
)
from tests.pipeline.conftest import Run
from tests.warehouse.spools import matches, sealed_segment

NOW = datetime(2026, 7, 10, 12, tzinfo=UTC)


def archived_days(run: Run, *days_ago: int) -> list[SegmentName]:
    """One archived segment for each of the days before NOW."""
    names = []
    for number, days in enumerate(days_ago):
        now_ns = int((NOW - timedelta(days=days)).timestamp()) * 1_000_000_000 + number
        session = Session.new("streamer-1", now_ns)
        encoder = RecordEncoder(session, lambda now_ns=now_ns: now_ns)  # type: ignore[misc]
        writer = SegmentWriter(run.spool, session, max_bytes=1 << 30, max_age_seconds=3600)
        writer.write(b"".join(encoder.frame(frame, 1).line for frame in matches(20)))
        name = writer.close()
        assert name
        names.append(name)
    seal_all(run.spool, timeout_seconds=5)
    archive_all(run)
    return names


def archive_all(run: Run) -> None:
    """Load, transform as far as the ledger is concerned, archive."""
    run.load()
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")
    archive_segments(run.spool, run.warehouse, run.config)


def retain(run: Run, *, days: int | None = None, max_bytes: int | None = None) -> dict[str, int]:
    """One run of the step under these limits."""
    config = msgspec.structs.replace(run.config, archive_max_days=days, archive_max_bytes=max_bytes)
    return apply_retention(run.spool, run.warehouse, config, now=NOW)


def files(run: Run) -> set[str]:
    """Everything in the spool but the locks."""
    found = (path.relative_to(run.spool.root) for path in run.spool.root.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != "locks"}


def test_by_default_everything_is_kept(run: Run) -> None:
    """However old it is."""
    archived_days(run, 4000, 0)
    before = files(run)

    assert retain(run)["deleted"] == 0

    assert files(run) == before


def test_days_that_are_too_old_are_deleted(run: Run) -> None:
    """With manifest and folder; the day on the edge stays, and so does all that is not in the archive."""
    old, edge, today = archived_days(run, 8, 7, 0)
    waiting = sealed_segment(run.spool, matches(2))

    outcome = retain(run, days=7)

    assert (outcome["deleted"], outcome["unproven"]) == (1, 0)
    assert run.spool.segments(State.ARCHIVED) == sorted([edge, today])
    assert not [path for path in files(run) if old.file_name in path]
    assert not (run.spool.folder(State.ARCHIVED) / "2026-07-02").exists()
    assert run.spool.segments(State.SEALED) == [waiting]


def test_the_oldest_go_first_until_the_rest_fits(run: Run) -> None:
    """Not more than needed."""
    _, second, third, fourth = archived_days(run, 3, 2, 1, 0)
    sizes = {segment.name: segment.bytes for segment in Archive.in_spool(run.spool).segments()}
    room = sizes[third] + sizes[fourth] + sizes[second] - 1

    outcome = retain(run, max_bytes=room)

    assert outcome == {
        "deleted": 2,
        "freed_bytes": sum(sizes.values()) - sizes[third] - sizes[fourth],
        "unproven": 0,
        "kept_bytes": sizes[third] + sizes[fourth],
    }
    assert run.spool.segments(State.ARCHIVED) == [third, fourth]
    assert retain(run, max_bytes=room)["deleted"] == 0


@pytest.mark.parametrize("fault", ["damaged", "without manifest", "unreadable manifest", "unknown to the ledger"])
def test_what_is_not_proven_is_kept(run: Run, fault: str) -> None:
    """A copy that is damaged, or whose rows the ledger does not know, may be all there is: somebody has to look."""
    bad, good = archived_days(run, 30, 29)
    path, manifest = run.spool.path(bad, State.ARCHIVED), run.spool.manifest_path(bad, State.ARCHIVED)
    if fault == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    elif fault == "without manifest":
        manifest.unlink()
    elif fault == "unreadable manifest":
        manifest.write_bytes(b"{}")
    else:
        _rename(path, manifest, bad, msgspec.structs.replace(bad, streamer_id="streamer-2"))
    before = {entry for entry in files(run) if bad.session_id in entry}

    outcome = retain(run, days=7)

    assert (outcome["deleted"], outcome["unproven"]) == (1, 1)
    assert {entry for entry in files(run) if bad.session_id in entry} == before
    assert good not in run.spool.segments(State.ARCHIVED)


def test_it_does_not_run_beside_the_archiving_step(run: Run) -> None:
    """One process at a time changes the archive."""
    archived_days(run, 30)

    with archive_lock(run.spool), pytest.raises(ArchiveBusy):
        retain(run, days=7)

    assert len(run.spool.segments(State.ARCHIVED)) == 1


def _rename(path: Path, manifest: Path, old: SegmentName, new: SegmentName) -> None:
    for file in (path, manifest):
        file.rename(file.with_name(file.name.replace(old.file_name, new.file_name)))
