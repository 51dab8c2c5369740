"""Each thing fsck finds is made for real, found, and repaired where that is safe; a sound installation has none."""

import fcntl
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from include.pipeline import archive_segments, close_window, open_window
from include.pipeline.archives import archive_lock
from include.pipeline.findings import Kind
from include.pipeline.fsck import Report, check
from include.pipeline.loader_lock import LoaderBusy
from include.pipeline.sealing import SegmentsQuarantined
from include.spool import Archive, RecordEncoder, SegmentName, SegmentWriter, Session, State, seal_all
from include.warehouse.batches import compose
from tests.pipeline.conftest import Run
from tests.warehouse.spools import matches, sealed_segment, write_segment


def fsck(run: Run, *, deep: bool = False, repair: bool = False) -> Report:
    """Without waiting between the two looks: nothing moves in these tests."""
    return check(run.spool, run.warehouse, run.config, deep=deep, repair=repair, settle_seconds=0)


def kinds(run: Run, *, deep: bool = False) -> list[Kind]:
    """What is found, by kind."""
    return [finding.kind for finding in fsck(run, deep=deep).left]


def loaded_segment(run: Run, count: int = 3) -> SegmentName:
    """A segment in loaded/, closed in the ledger."""
    name = sealed_segment(run.spool, matches(count))
    run.load()
    return name


def archived_segment(run: Run) -> SegmentName:
    """A segment in the archive."""
    name = loaded_segment(run)
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")
    archive_segments(run.spool, run.warehouse, run.config)
    return name


def move(run: Run, name: SegmentName, source: State, target: State) -> None:
    """By hand, with the manifest."""
    for path in (run.spool.manifest_path(name, source), run.spool.path(name, source)):
        path.rename(run.spool.folder(target) / path.name)


def written_down(run: Run, name: SegmentName, *, minutes_ago: int = 0) -> str:
    """Id of a batch that is in the ledger and was never submitted."""
    (batch,) = compose(
        [run.spool.manifest(name, State.SEALED)], table_id=run.warehouse.messages_id, max_bytes=1 << 30, max_segments=9
    )
    run.warehouse.ledger.compose(batch, dag_run_id="killed")
    change_ledger(run, f"set composed_at = timestamp_sub(composed_at, interval {minutes_ago} minute)")
    return batch.batch_id


def change_ledger(run: Run, change: str) -> None:
    """Behind the product's back."""
    table = run.warehouse.messages_id.replace("_raw.messages", "_ops.batches")
    run.warehouse.client.query_and_wait(f"update `{table}` {change} where true")


def make_old(path: Path) -> None:
    """Nobody has written to it for an hour."""
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))


def assert_repaired(run: Run, kind: Kind) -> None:
    """The finding is the only one, and a repair leaves nothing to find."""
    report = fsck(run, repair=True)

    assert [finding.kind for finding in report.repaired] == [kind]
    assert report.left == []
    assert fsck(run).left == []


def assert_for_a_person(run: Run, *expected: Kind, deep: bool = False) -> str:
    """These are found, and --repair leaves them as they are; the text of the first one."""
    before = sorted(run.spool.root.rglob("*"))
    report = fsck(run, deep=deep, repair=True)

    assert tuple(finding.kind for finding in report.left) == expected
    assert report.for_a_person == report.left
    assert report.repaired == []
    assert [path for path in sorted(run.spool.root.rglob("*")) if path.parent.name != "locks"] == [
        path for path in before if path.parent.name != "locks"
    ]
    return f"{report.left[0].subject} {report.left[0].message} {report.left[0].advice}"


def test_a_sound_installation_has_no_findings(run: Run) -> None:
    """With something in every state: a living writer, sealed, loaded and archived segments, quarantine."""
    archived_segment(run)
    sealed_segment(run.spool, [*matches(2), b"no json"])
    run.load()
    sealed_segment(run.spool, matches(2, first=70))
    broken = write_segment(run.spool, matches(2), streamer_id="streamer-3")
    (name,) = (name for name in run.spool.segments(State.SEALING) if name.session == broken)
    path = run.spool.path(name, State.SEALING)
    path.write_bytes(path.read_bytes().replace(b'"record_no":2', b'"record_no":3'))
    with pytest.raises(SegmentsQuarantined):
        run.seal()
    session = Session.new("streamer-2", 1_791_000_000_000_000_000)
    writer = SegmentWriter(run.spool, session, max_bytes=1 << 30, max_age_seconds=3600)
    writer.write(RecordEncoder(session, lambda: 1_791_000_000_000_000_000).control("pulse_started", {}, 0).line)

    assert fsck(run, deep=True).left == []

    assert run.states() == {"active": 1, "archived": 1, "loaded": 1, "sealed": 1, "quarantined": 1}
    writer.close()


def test_a_sealed_segment_that_is_loaded_is_moved_on(run: Run) -> None:
    """The run died between ledger and folder."""
    name = loaded_segment(run)
    move(run, name, State.LOADED, State.SEALED)

    assert kinds(run) == [Kind.SEALED_BUT_LOADED]
    assert run.states() == {"sealed": 1}, "a check without --repair changes nothing"
    assert_repaired(run, Kind.SEALED_BUT_LOADED)

    assert run.spool.segments(State.LOADED) == [name]


def test_a_segment_in_loaded_whose_batch_is_unfinished_is_moved_back(run: Run) -> None:
    """The load of the batch looks for it in sealed/, and then ends well."""
    name = sealed_segment(run.spool, matches(3))
    written_down(run, name)
    move(run, name, State.SEALED, State.LOADED)

    assert_repaired(run, Kind.LOADED_BUT_UNFINISHED)

    assert run.load()["records"] == 3


def test_a_segment_in_loaded_that_the_ledger_does_not_know_is_left_to_a_person(run: Run) -> None:
    """Raw may have its rows or not: only somebody who looks can know."""
    name = sealed_segment(run.spool, matches(3))
    move(run, name, State.SEALED, State.LOADED)

    assert name.file_name in assert_for_a_person(run, Kind.LOADED_BUT_UNKNOWN)


def test_a_segment_that_is_archived_and_still_in_loaded_is_archived_again(run: Run) -> None:
    """Archiving was killed before its last step."""
    name = archived_segment(run)
    stored = run.spool.path(name, State.ARCHIVED)
    plain = run.spool.path(name, State.LOADED)
    with Archive.in_spool(run.spool).open(Archive.in_spool(run.spool).segments()[0]) as file:
        plain.write_bytes(file.read())
    run.spool.manifest_path(name, State.LOADED).write_bytes(stored.with_name(name.manifest_name).read_bytes())

    assert_repaired(run, Kind.LOADED_AND_ARCHIVED)

    assert run.states() == {"archived": 1}


def test_an_archived_segment_that_is_not_in_the_marts_is_left_to_a_person(run: Run) -> None:
    """The ledger was emptied, or set back."""
    archived_segment(run)
    change_ledger(run, "set transformed_at = null")

    assert "replay" in assert_for_a_person(run, Kind.ARCHIVED_BUT_UNPROVEN)


@pytest.mark.parametrize("state", [State.SEALED, State.LOADED, State.ARCHIVED])
def test_a_segment_without_its_manifest_is_left_to_a_person(run: Run, state: State) -> None:
    """It cannot be proven."""
    name = _segment_in(run, state)
    run.spool.manifest_path(name, state).unlink()

    assert name.file_name in assert_for_a_person(run, Kind.MANIFEST_MISSING)


@pytest.mark.parametrize("state", [State.SEALED, State.LOADED])
def test_a_manifest_that_stayed_behind_is_removed(run: Run, state: State) -> None:
    """Its segment is in a later state."""
    name = archived_segment(run)
    content = run.spool.manifest_path(name, State.ARCHIVED).read_bytes()
    run.spool.manifest_path(name, state).write_bytes(content)

    assert_repaired(run, Kind.MANIFEST_ALONE)

    assert run.spool.manifest(name, State.ARCHIVED).records == 3


def test_a_manifest_that_an_interrupted_deletion_left_is_removed(run: Run) -> None:
    """Retention deletes the segment first; what the ledger calls transformed was not lost by it."""
    name = archived_segment(run)
    run.config = msgspec.structs.replace(run.config, archive_max_days=1)
    run.spool.path(name, State.ARCHIVED).unlink()

    assert_repaired(run, Kind.MANIFEST_ALONE)


def test_a_manifest_of_a_segment_that_is_nowhere_is_left_to_a_person(run: Run) -> None:
    """It says what was lost."""
    name = sealed_segment(run.spool, matches(3))
    run.spool.path(name, State.SEALED).unlink()

    assert name.file_name in assert_for_a_person(run, Kind.SEGMENT_MISSING)


def test_a_manifest_ahead_of_its_segment_is_the_sealers(run: Run) -> None:
    """A sealer died before its last step: the next one does it again."""
    name = sealed_segment(run.spool, matches(3))
    path = run.spool.path(name, State.SEALED)
    path.rename(run.spool.path(name, State.SEALING))

    assert kinds(run) == []


@pytest.mark.parametrize("state", [State.SEALED, State.LOADED, State.ARCHIVED])
def test_changed_bytes_are_found_by_their_hash(run: Run, state: State) -> None:
    """Same size, other bytes: only a deep check reads them."""
    name = _segment_in(run, state)
    path = run.spool.path(name, state)
    path.chmod(0o644)
    content = path.read_bytes()
    changed = bytes([content[-40] ^ 1])
    path.write_bytes(content[:-40] + changed + content[-39:])
    assert kinds(run) == []

    assert name.file_name in assert_for_a_person(run, Kind.DAMAGED, deep=True)


def test_a_segment_of_another_size_is_found_without_hashing(run: Run) -> None:
    """A look at the file's size is enough."""
    name = loaded_segment(run)
    path = run.spool.path(name, State.LOADED)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-5])

    assert name.file_name in assert_for_a_person(run, Kind.DAMAGED)


def test_two_contents_under_one_name_are_found(run: Run) -> None:
    """The ledger has another hash for it."""
    name = loaded_segment(run)
    run.spool.path(name, State.SEALING).write_bytes(
        run.spool.path(name, State.LOADED).read_bytes().replace(b"63512", b"63513")
    )
    run.seal()

    assert assert_for_a_person(run, Kind.OTHER_CONTENT).startswith("sealed/")


def test_a_batch_that_is_stuck_is_found(run: Run) -> None:
    """A new one is not: its load may be running."""
    name = sealed_segment(run.spool, matches(3))
    batch_id = written_down(run, name)
    assert kinds(run) == []
    change_ledger(run, "set composed_at = timestamp_sub(composed_at, interval 61 minute)")

    assert f"pulse_load_{batch_id}_1" in assert_for_a_person(run, Kind.BATCH_UNFINISHED)


def test_an_unfinished_batch_whose_segments_were_wiped_says_what_to_do(run: Run) -> None:
    """At once: no run can finish it."""
    name = sealed_segment(run.spool, matches(3))
    written_down(run, name)
    for path in (run.spool.path(name, State.SEALED), run.spool.manifest_path(name, State.SEALED)):
        path.unlink()

    text = assert_for_a_person(run, Kind.BATCH_UNFINISHED)

    assert name.file_name in text
    assert "0 rows" in text
    assert "delete its row in ops.batches" in text


def test_the_rows_of_a_batch_are_counted(run: Run) -> None:
    """A row that is gone, and rows that are there twice."""
    _session_of_segments(run, 2)
    run.load()
    table = run.warehouse.messages_id
    run.warehouse.client.query_and_wait(f"delete from `{table}` where received_at > '2000-01-01' and record_no = 2")
    assert "3 rows" in assert_for_a_person(run, Kind.ROWS_DIFFER)
    run.warehouse.client.query_and_wait(
        f"insert into `{table}` select * from `{table}` where received_at > '2000-01-01' and record_no > 2"
    )
    assert "5 rows" in assert_for_a_person(run, Kind.ROWS_DIFFER)


def test_dead_letters_are_not_missing_rows(run: Run) -> None:
    """A refused line is not in raw, and the ledger's books balance without it."""
    _session_of_segments(run, 1)
    run.load()
    (batch,) = run.warehouse.ledger.recent(1)
    table = run.warehouse.messages_id
    run.warehouse.client.query_and_wait(f"delete from `{table}` where received_at > '2000-01-01' and record_no = 2")
    letters = table.replace("_raw.messages", "_ops.dead_letters")
    run.warehouse.client.query_and_wait(
        f"insert into `{letters}` (segment, line_no, record_no, batch_id, received_at, reason, error, line_bytes, "
        f"is_loaded, first_seen) values ('x', 2, 2, '{batch.batch_id}', current_timestamp(), 'refused', 'bad', 9, "
        f"false, current_timestamp())"
    )

    assert kinds(run) == []


def test_rows_that_no_batch_brought_are_found(run: Run) -> None:
    """Somebody else wrote to the table, or the ledger lost a batch."""
    _session_of_segments(run, 1)
    run.load()
    table = run.warehouse.messages_id
    run.warehouse.client.query_and_wait(
        f"update `{table}` set batch_id = 'strange' where received_at > '2000-01-01' and record_no = 2"
    )

    _, without_batch = fsck(run).left

    assert (without_batch.kind, without_batch.subject) == (Kind.ROWS_WITHOUT_BATCH, "batch strange")


def test_a_hole_in_the_record_numbers_is_found(run: Run) -> None:
    """Between two segments that are loaded, and before one that is only sealed."""
    names = _session_of_segments(run, 5)
    for gone in (names[1], names[3]):
        for path in (run.spool.path(gone, State.SEALED), run.spool.manifest_path(gone, State.SEALED)):
            path.unlink()
    move(run, names[4], State.SEALED, State.QUARANTINED)
    run.load()
    move(run, names[4], State.QUARANTINED, State.SEALED)

    text = assert_for_a_person(run, Kind.RECORDS_MISSING, Kind.RECORDS_MISSING)

    assert "records 3 to 4 " in text
    assert "records 7 to 8 " in fsck(run).left[1].message


def test_a_hole_at_the_beginning_of_a_session_is_found(run: Run) -> None:
    """The first segment that is there does not begin with record 1."""
    first, _ = _session_of_segments(run, 2)
    move(run, first, State.SEALED, State.QUARANTINED)
    run.load()

    text = assert_for_a_person(run, Kind.RECORDS_MISSING)

    assert "records 1 to 2 " in text
    assert f"quarantined/ has {first.file_name}" in text


def test_a_segment_on_its_way_is_no_hole(run: Run) -> None:
    """Its writer has not let go of it yet; the ones after it may be sealed."""
    _, second, _ = _session_of_segments(run, 3)
    move(run, second, State.SEALED, State.QUARANTINED)
    content = (run.spool.folder(State.QUARANTINED) / second.file_name).read_bytes()
    (run.spool.folder(State.QUARANTINED) / second.manifest_name).unlink()
    run.spool.path(second, State.SEALING).write_bytes(content)
    run.load()

    assert kinds(run) == []


def test_a_loaded_segment_that_is_nowhere_is_found(run: Run) -> None:
    """Unless retention may have deleted it."""
    name = loaded_segment(run)
    for path in (run.spool.path(name, State.LOADED), run.spool.manifest_path(name, State.LOADED)):
        path.unlink()

    assert name.file_name in assert_for_a_person(run, Kind.SEGMENT_MISSING)

    run.config = msgspec.structs.replace(run.config, archive_max_days=30)
    assert kinds(run) == []


def test_the_segment_of_a_dead_writer_is_handed_to_the_sealer(run: Run) -> None:
    """A living writer's segment is not touched."""
    name = SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", 1)
    path = run.spool.path(name, State.ACTIVE)
    path.write_bytes(b"{}\n")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert kinds(run) == []

    assert [finding.kind for finding in fsck(run, repair=True).repaired] == [Kind.WRITER_DEAD]

    assert run.spool.segments(State.SEALING) == [name]


@pytest.mark.parametrize("suffix", ["", ".new"])
def test_what_a_dead_writer_never_wrote_to_is_removed(run: Run, suffix: str) -> None:
    """An empty segment and an unfinished birth, under the streamer's lock: while it is held nothing is touched."""
    name = SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", 1)
    path = run.spool.folder(State.ACTIVE) / (f".{name.file_name}.new" if suffix else name.file_name)
    path.touch()
    make_old(path)
    with run.spool.lock_streamer("streamer-1"):
        path.touch()
        make_old(path)
        report = fsck(run, repair=True)
        assert [finding.kind for finding in report.left] == [Kind.UNFINISHED_FILE]
        assert path.exists()

    assert_repaired(run, Kind.UNFINISHED_FILE)

    assert not path.exists()


def test_unfinished_files_are_removed_when_they_are_old(run: Run) -> None:
    """A new one may be in somebody's hands."""
    name = archived_segment(run)
    path = run.spool.path(name, State.ARCHIVED).with_suffix(".tmp")
    path.touch()
    assert kinds(run) == []
    make_old(path)

    assert_repaired(run, Kind.UNFINISHED_FILE)


def test_the_lock_files_of_finished_batches_are_removed(run: Run) -> None:
    """A dead process leaves its file; the lock itself is gone with it. One that is held stays, and so does one that the
    next run will take."""
    name = sealed_segment(run.spool, matches(3))
    unfinished = run.spool.root / "locks" / f"_batch.{written_down(run, name)}.lock"
    unfinished.touch()
    left = run.spool.root / "locks" / f"_batch.{'0' * 32}.lock"
    left.touch()
    with left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert kinds(run) == []

    assert_repaired(run, Kind.LOCK_LEFT)

    assert unfinished.exists()


def test_repairs_wait_for_nobody(run: Run) -> None:
    """A repair beside the archiving step is refused; a check is not."""
    loaded_segment(run)
    with archive_lock(run.spool):
        assert kinds(run) == []
        with pytest.raises(LoaderBusy):
            fsck(run, repair=True)


def test_what_passes_by_itself_is_no_finding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look decides: a step was in the middle of its work at the first."""
    name = loaded_segment(run)
    move(run, name, State.LOADED, State.SEALED)
    monkeypatch.setattr("include.pipeline.fsck.time.sleep", lambda _: run.spool.mark_loaded(name))

    assert fsck(run).left == []


def test_only_recent_batches_are_looked_at(run: Run) -> None:
    """A loss that somebody has seen does not come up for ever; `days=0` looks at all."""
    _, second, _ = _session_of_segments(run, 3)
    move(run, second, State.SEALED, State.QUARANTINED)
    run.load()
    change_ledger(run, "set composed_at = timestamp_sub(composed_at, interval 72 hour)")

    assert kinds(run) == []

    found = check(run.spool, run.warehouse, run.config, days=0, settle_seconds=0).left
    assert [finding.kind for finding in found] == [Kind.RECORDS_MISSING]


def _segment_in(run: Run, state: State) -> SegmentName:
    make: dict[State, Callable[[], SegmentName]] = {
        State.SEALED: lambda: sealed_segment(run.spool, matches(30)),
        State.LOADED: lambda: loaded_segment(run),
        State.ARCHIVED: lambda: archived_segment(run),
    }
    return make[state]()


def _session_of_segments(run: Run, count: int) -> list[SegmentName]:
    """One session of so many sealed segments, of two records each."""
    now_ns = int(datetime.now(UTC).timestamp()) * 1_000_000_000
    session = Session.new("streamer-1", now_ns)
    encoder = RecordEncoder(session, lambda: now_ns)
    writer = SegmentWriter(run.spool, session, max_bytes=1 << 30, max_age_seconds=3600)
    for number in range(count):
        writer.write(b"".join(encoder.frame(frame, 1).line for frame in matches(2, first=10 * number)))
        writer.close()
    seal_all(run.spool, timeout_seconds=5)
    return run.spool.segments(State.SEALED)
