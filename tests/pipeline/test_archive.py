"""The archive: what is stored is proven before the plain segment goes, and no crash loses anything."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from include.config import ConfigError, PipelineConfig, load
from include.pipeline import archive_segments, close_window, open_window
from include.pipeline.archives import ArchiveBusy, archive_lock, open_archive
from include.spool import (
    Archive,
    ArchiveDamaged,
    ManifestInvalid,
    SegmentMissing,
    SegmentName,
    Spool,
    State,
    open_segment,
    read_records,
)
from tests.pipeline.conftest import Run
from tests.spool.faulty_disk import Disk, Fault, Killed, Trouble
from tests.warehouse.spools import matches, new_spool, sealed_segment

FRAMES = matches(50)
STEPS_MAX = 100


def loaded_segment(spool: Spool) -> SegmentName:
    """A segment that waits for the archive."""
    name = sealed_segment(spool, FRAMES)
    spool.mark_loaded(name)
    return name


def frames(path: Path) -> list[bytes | None]:
    """What was received, read back from a segment's file."""
    return [record.frame for record in read_records(path)]


def test_an_archived_segment_gives_back_every_byte(tmp_path: Path) -> None:
    """Compressed, in the folder of its day, its manifest unchanged; a third of the size or less."""
    spool = new_spool(tmp_path)
    name = loaded_segment(spool)
    plain = spool.path(name, State.LOADED).read_bytes()
    manifest = spool.manifest_path(name, State.LOADED).read_bytes()
    archive = Archive.in_spool(spool)

    archive.take(spool, name)

    (segment,) = archive.segments()
    with archive.open(segment) as file:
        assert file.read() == plain
    assert spool.manifest_path(name, State.ARCHIVED).read_bytes() == manifest
    assert segment.day == archive.manifest(segment).received_at_min[:10]
    assert segment.bytes < len(plain) / 3
    assert archive.is_proven(segment)
    assert frames(spool.path(name, State.ARCHIVED)) == FRAMES
    assert spool.segments(State.LOADED) == []
    assert list(spool.folder(State.LOADED).iterdir()) == []


def test_a_segment_that_was_archived_uncompressed_stays_readable(tmp_path: Path) -> None:
    """Earlier releases moved it as it was."""
    spool = new_spool(tmp_path)
    name = loaded_segment(spool)
    day = spool.folder(State.ARCHIVED) / "2026-01-01"
    day.mkdir()
    for path in (spool.manifest_path(name, State.LOADED), spool.path(name, State.LOADED)):
        path.rename(day / path.name)

    (segment,) = Archive.in_spool(spool).segments()

    assert Archive.in_spool(spool).is_proven(segment)
    assert spool.segments(State.ARCHIVED) == [name]
    assert frames(spool.path(name, State.ARCHIVED)) == FRAMES


def test_the_plain_segment_stays_when_what_was_stored_is_not_the_same(tmp_path: Path) -> None:
    """A damaged segment is not archived under the manifest of the sound one."""
    spool = new_spool(tmp_path)
    name = loaded_segment(spool)
    path = spool.path(name, State.LOADED)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"63512", b"63513"))

    with pytest.raises(ArchiveDamaged, match=name.file_name):
        Archive.in_spool(spool).take(spool, name)

    assert spool.segments(State.LOADED) == [name]
    assert Archive.in_spool(spool).segments() == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-30], lambda data: data[:40] + b"\0\0" + data[42:], lambda data: b""]
)
def test_a_damaged_copy_of_an_earlier_try_is_replaced(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """What lies in the archive already counts only when it is proven."""
    spool = new_spool(tmp_path)
    name = loaded_segment(spool)
    archive = Archive.in_spool(spool)
    kept = {path: path.read_bytes() for path in spool.folder(State.LOADED).iterdir()}
    archive.take(spool, name)
    stored = spool.path(name, State.ARCHIVED)
    stored.write_bytes(damage(stored.read_bytes()))
    (segment,) = archive.segments()
    assert not archive.is_proven(segment)
    for path, content in kept.items():
        path.write_bytes(content)

    archive.take(spool, name)

    assert archive.is_proven(segment)
    assert spool.segments(State.LOADED) == []


def test_what_is_not_there_is_not_taken_for_archived(tmp_path: Path) -> None:
    """A segment in no state, and one without a manifest, are errors that name it."""
    spool = new_spool(tmp_path)
    archive = Archive.in_spool(spool)
    with pytest.raises(SegmentMissing, match=r"streamer-9\."):
        archive.take(spool, SegmentName("streamer-9", "20260707T225816Z-3f9a2c41", 1))
    name = loaded_segment(spool)
    spool.manifest_path(name, State.LOADED).unlink()
    with pytest.raises(ManifestInvalid, match=name.file_name):
        archive.take(spool, name)

    assert spool.segments(State.LOADED) == [name]


@pytest.mark.parametrize("trouble", ["kill", "power", "full", "read_only", "sync_error", "short_write"])
def test_nothing_is_lost_whatever_happens_at_any_system_call(tmp_path: Path, trouble: Trouble) -> None:
    """At every moment the segment is whole in loaded/ or proven in the archive, and a repetition completes the step."""
    calls = _calls_of_a_sound_try(tmp_path / "sound")
    assert 10 < calls < STEPS_MAX
    for step in range(calls):
        folder = tmp_path / str(step)
        folder.mkdir()
        with Disk(folder / "volume", Random(step)) as disk:
            spool = Spool.open(disk.root / "spool", "simulated", create=True)
            name = loaded_segment(spool)
            _try(disk, spool, name, Fault(trouble, step))
            assert _is_whole_somewhere(spool, name), f"lost at system call {step}"
            disk.fail(None)

            Archive.in_spool(spool).take(spool, name)

            assert spool.segments(State.LOADED) == []
            assert frames(spool.path(name, State.ARCHIVED)) == FRAMES
            disk.cut_power()
            assert frames(spool.path(name, State.ARCHIVED)) == FRAMES, f"not durable after system call {step}"
            assert spool.manifest(name, State.ARCHIVED).records == len(FRAMES)


def test_what_is_loaded_and_not_transformed_is_not_archived(run: Run) -> None:
    """The ledger decides, segment by segment."""
    sealed_segment(run.spool, matches(2))
    run.load()
    first = open_window(run.warehouse)
    waiting = sealed_segment(run.spool, matches(2, first=500))
    run.load()
    assert first is not None
    close_window(run.warehouse, first, run_id="run")

    assert archive_segments(run.spool, run.warehouse, run.config) == {"archived": 1, "waiting": 1}

    assert run.spool.segments(State.LOADED) == [waiting]


def test_a_damaged_segment_does_not_hold_up_the_others(run: Run) -> None:
    """They are archived, then the step fails by its name."""
    names = [sealed_segment(run.spool, matches(2, first=number)) for number in (1, 10, 20)]
    run.load()
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")
    path = run.spool.path(names[0], State.LOADED)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ArchiveDamaged, match=names[0].file_name):
        archive_segments(run.spool, run.warehouse, run.config)

    assert run.spool.segments(State.LOADED) == names[:1]
    assert run.spool.segments(State.ARCHIVED) == names[1:]


def test_a_folder_of_another_file_system_can_be_the_archive(run: Run, tmp_path: Path) -> None:
    """PULSE_ARCHIVE_URL names it; each source has a folder of its own in it."""
    elsewhere = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    folder = elsewhere / f"pulse-test-archive-{os.getpid()}"
    run.config = msgspec.structs.replace(run.config, archive_url=str(folder))
    name = sealed_segment(run.spool, FRAMES)
    run.load()
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")
    archive = open_archive(run.spool, run.config)
    try:
        assert archive_segments(run.spool, run.warehouse, run.config)["archived"] == 1
        (segment,) = archive.segments()
        assert (folder / "simulated" / segment.key).is_file()
        assert archive.is_proven(segment)
        assert segment.name == name
        assert run.states() == {}
    finally:
        for segment in archive.segments():
            archive.remove(segment)
        (folder / "simulated").rmdir()
        folder.rmdir()


def test_one_process_at_a_time_changes_the_archive(run: Run) -> None:
    """The second one fails at once and touches nothing."""
    name = sealed_segment(run.spool, matches(2))
    run.load()
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")

    with archive_lock(run.spool), pytest.raises(ArchiveBusy):
        archive_segments(run.spool, run.warehouse, run.config)

    assert run.spool.segments(State.LOADED) == [name]


def test_a_bucket_without_the_client_library_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package and where it is."""
    monkeypatch.setitem(__import__("sys").modules, "google.cloud.storage", None)
    with pytest.raises(ModuleNotFoundError, match="google-cloud-storage"):
        open_archive(new_spool(tmp_path), PipelineConfig(archive_url="gs://bucket/pulse"))


@pytest.mark.parametrize("value", ["s3://bucket", "gs://", "archive", "file:///tmp"])
def test_an_address_that_means_nothing_is_refused(value: str) -> None:
    """Only gs:// and absolute paths."""
    with pytest.raises(ConfigError, match="PULSE_ARCHIVE_URL"):
        load(PipelineConfig, {"PULSE_ARCHIVE_URL": value})


def _calls_of_a_sound_try(folder: Path) -> int:
    folder.mkdir()
    with Disk(folder / "volume", Random(0)) as disk:
        spool = Spool.open(disk.root / "spool", "simulated", create=True)
        name = loaded_segment(spool)
        before = disk.calls
        _try(disk, spool, name, None)
        assert spool.segments(State.ARCHIVED) == [name]
        return disk.calls - before


def _try(disk: Disk, spool: Spool, name: SegmentName, fault: Fault | None) -> None:
    try:
        with disk.acting("archiver", fault):
            Archive.in_spool(spool).take(spool, name)
    except Killed:
        disk.kill("archiver")
        if fault and fault.kind == "power":
            disk.cut_power()
    except OSError:
        assert fault is not None


def _is_whole_somewhere(spool: Spool, name: SegmentName) -> bool:
    """Bytes and manifest both, in one place."""
    plain = spool.path(name, State.LOADED)
    if plain.exists() and spool.manifest_path(name, State.LOADED).exists():
        with open_segment(plain) as file:
            return len(file.read()) == spool.manifest(name, State.LOADED).bytes
    archive = Archive.in_spool(spool)
    return any(segment.name == name and archive.is_proven(segment) for segment in archive.segments())
