"""The spool folder: creation, states, transitions, locks."""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from include.spool import (
    Archive,
    InvalidName,
    ManifestInvalid,
    RecordEncoder,
    SegmentMissing,
    SegmentName,
    SourceMismatch,
    Spool,
    SpoolLocked,
    SpoolMissing,
    State,
    UnknownFormat,
    Usage,
    seal,
)

Killed = Callable[[int, Callable[[], object]], bool]


@pytest.fixture
def sealed(put_sealing: Callable[..., SegmentName], spool: Spool, encoder: RecordEncoder) -> SegmentName:
    """A sealed segment."""
    name = put_sealing(encoder.frame(b'{"type":"a"}', 1).line)
    seal(spool, name, timeout_seconds=0)
    return name


def files(spool: Spool) -> set[str]:
    """All segments and manifests, as paths below the spool."""
    return {str(path.relative_to(spool.root)) for path in spool.root.glob("*/**/*.*") if path.parent.name != "locks"}


def test_an_existing_spool_is_opened_by_both_sides(spool: Spool) -> None:
    """The reader finds what the creator made, and creating again changes nothing."""
    before = (spool.root / "spool.json").stat().st_mtime_ns

    Spool.open(spool.root, "live", create=False)
    Spool.open(spool.root, "live", create=True)

    assert (spool.root / "spool.json").stat().st_mtime_ns == before


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    """Opening a folder that holds no spool fails and leaves it as it was."""
    with pytest.raises(SpoolMissing):
        Spool.open(tmp_path / "none", "live", create=False)

    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("create", [True, False])
def test_another_source_is_refused(spool: Spool, create: bool) -> None:
    """Simulated data cannot enter a spool of live data."""
    with pytest.raises(SourceMismatch, match="live data, not simulated"):
        Spool.open(spool.root, "simulated", create=create)


@pytest.mark.parametrize(
    "content",
    [
        b'{"format":"pulse-spool","format_version":2,"source":"live"}',
        b'{"format":"other","format_version":1,"source":"live"}',
        b'{"format":"pulse-spool","format_version":1}',
        b"",
        b"\xff",
    ],
)
def test_another_format_is_refused(spool: Spool, content: bytes) -> None:
    """A spool of another format or version is neither read nor mended."""
    (spool.root / "spool.json").write_bytes(content)

    with pytest.raises(UnknownFormat):
        Spool.open(spool.root, "live", create=True)

    assert (spool.root / "spool.json").read_bytes() == content


def test_creation_can_be_killed_at_every_step(tmp_path: Path, killed_at: Killed) -> None:
    """Whatever a killed creator leaves, the next one completes."""
    step, killed = 0, True
    while killed:
        create = functools.partial(Spool.open, tmp_path / str(step), "live", create=True)
        killed = killed_at(step, create)
        assert create().usage() == dict.fromkeys(State, Usage(0, 0))
        step += 1
    assert step > 8


def test_errors_say_where_and_what_to_do(tmp_path: Path) -> None:
    """An error carries its path and a hint, and shows both."""
    with pytest.raises(SpoolMissing) as caught:
        Spool.open(tmp_path, "live", create=False)

    assert caught.value.path == tmp_path
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint in str(caught.value)


def test_one_streamer_holds_an_id(spool: Spool) -> None:
    """A second holder of the same id is refused; another id and a later holder are not."""
    with spool.lock_streamer("a"):
        with pytest.raises(SpoolLocked), spool.lock_streamer("a"):
            pass
        with spool.lock_streamer("b"):
            pass
    with spool.lock_streamer("a"):
        pass


def test_a_new_run_removes_what_dead_runs_never_wrote_to(spool: Spool) -> None:
    """Half-born and empty segments of the same id go; those with data and those of others stay."""
    active = spool.folder(State.ACTIVE)
    ours = "a.20260707T225816Z-3f9a2c41.{:06d}.v1.ndjson"
    other = "a-b.20260707T225816Z-3f9a2c41.000001.v1.ndjson"
    for name in (f".{ours.format(1)}.new", ours.format(2), other, f".{other}.new"):
        (active / name).touch()
    (active / ours.format(3)).write_bytes(b"x")

    with spool.lock_streamer("a"):
        assert {path.name for path in active.iterdir()} == {ours.format(3), other, f".{other}.new"}


def test_rotation_moves_a_segment_once(spool: Spool, session_name: SegmentName) -> None:
    """The first to rotate a segment is told so, the second that somebody else did it."""
    spool.path(session_name, State.ACTIVE).write_bytes(b"x\n")

    assert spool.rotate(session_name)
    assert not spool.rotate(session_name)
    assert spool.segments(State.ACTIVE) == []
    assert spool.segments(State.SEALING) == [session_name]


@pytest.fixture
def session_name() -> SegmentName:
    """Any segment's name."""
    return SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", 7)


def test_rotating_all_leaves_empty_segments_alone(spool: Spool) -> None:
    """A segment without data stays with its writer; all others are rotated, in order."""
    names = [SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", number) for number in (1, 2, 3)]
    for name, content in zip(names, (b"x\n", b"", b"torn"), strict=True):
        spool.path(name, State.ACTIVE).write_bytes(content)

    assert spool.rotate_all() == [names[0], names[2]]
    assert spool.segments(State.ACTIVE) == [names[1]]


def test_a_foreign_segment_stops_the_listing(spool: Spool) -> None:
    """A file that looks like a segment but is none is reported, not passed over."""
    (spool.folder(State.SEALED) / "copy of segment.ndjson").touch()

    with pytest.raises(InvalidName):
        spool.segments(State.SEALED)


def test_a_segment_goes_from_sealed_to_the_archive(spool: Spool, sealed: SegmentName) -> None:
    """Segment and manifest go together, into the day folder of the first record, and nothing stays behind."""
    manifest = spool.manifest(sealed, State.SEALED)

    spool.mark_loaded(sealed)

    assert files(spool) == {f"loaded/{sealed.file_name}", f"loaded/{sealed.manifest_name}"}
    assert spool.manifest(sealed, State.LOADED) == manifest

    Archive.in_spool(spool).take(spool, sealed)

    assert files(spool) == {
        f"archived/2026-07-07/{sealed.file_name}.zst",
        f"archived/2026-07-07/{sealed.manifest_name}",
    }
    assert spool.manifest(sealed, State.ARCHIVED) == manifest
    assert spool.segments(State.ARCHIVED) == [sealed]


def test_transitions_can_be_repeated(spool: Spool, sealed: SegmentName) -> None:
    """A transition that happened already is a success and changes nothing."""
    take = functools.partial(Archive.in_spool(spool).take, spool)
    for transition in (spool.mark_loaded, spool.mark_loaded, take, take, spool.mark_loaded):
        transition(sealed)

    assert spool.segments(State.ARCHIVED) == [sealed]
    assert len(files(spool)) == 2


def test_transitions_skip_no_state(spool: Spool, sealed: SegmentName, session_name: SegmentName) -> None:
    """What is not loaded is not archived, and what does not exist goes nowhere."""
    with pytest.raises(SegmentMissing):
        Archive.in_spool(spool).take(spool, sealed)
    with pytest.raises(SegmentMissing):
        spool.mark_loaded(session_name)
    with pytest.raises(SegmentMissing):
        spool.path(session_name, State.ARCHIVED)

    assert spool.segments(State.SEALED) == [sealed]


def test_a_transition_can_be_killed_at_every_step(tmp_path: Path, encoder: RecordEncoder, killed_at: Killed) -> None:
    """After a kill the segment has its manifest wherever it is, and a repetition completes the move."""
    line = encoder.frame(b'{"type":"a"}', 1).line
    name = SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", 1)
    step, killed = 0, True
    while killed:
        spool = Spool.open(tmp_path / str(step), "live", create=True)
        spool.path(name, State.SEALING).write_bytes(line)
        seal(spool, name, timeout_seconds=0)
        transition = functools.partial(spool.mark_loaded, name)

        killed = killed_at(step, transition)

        [(state, found)] = [(state, found) for state in State for found in spool.segments(state)]
        assert spool.manifest(found, state).records == 1
        transition()
        assert len(files(spool)) == 2
        step += 1
    assert step > 3


def test_usage_counts_every_state(spool: Spool, sealed: SegmentName, session_name: SegmentName) -> None:
    """Segments and bytes are counted by state; a torn tail in quarantine is visible too."""
    spool.path(session_name, State.ACTIVE).write_bytes(b"12345")
    (spool.folder(State.QUARANTINED) / session_name.torn_name).write_bytes(b"123")
    size = spool.path(sealed, State.SEALED).stat().st_size

    assert spool.usage() == dict.fromkeys(State, Usage(0, 0)) | {
        State.ACTIVE: Usage(1, 5),
        State.SEALED: Usage(1, size),
        State.QUARANTINED: Usage(1, 3),
    }


@pytest.mark.parametrize(
    ("pattern", "replacement", "error"),
    [
        (b'"format_version":1', b'"format_version":2', UnknownFormat),
        (b'"records":1,', b"", ManifestInvalid),
        (b'"records":1,', b'"records":"1",', ManifestInvalid),
        (b'"torn_bytes":0', b'"torn_bytes":0,"new":1', ManifestInvalid),
        (b".*", b"\xff", ManifestInvalid),
    ],
)
def test_a_manifest_that_is_not_as_specified_is_refused(
    spool: Spool, sealed: SegmentName, pattern: bytes, replacement: bytes, error: type[Exception]
) -> None:
    """A manifest of another version or form is not believed."""
    path = spool.manifest_path(sealed, State.SEALED)
    path.write_bytes(re.sub(pattern, replacement, path.read_bytes(), count=1))

    with pytest.raises(error):
        spool.manifest(sealed, State.SEALED)


def test_a_missing_manifest_is_an_error(spool: Spool, session_name: SegmentName) -> None:
    """There is no sealed segment without a manifest, so its absence is reported."""
    with pytest.raises(ManifestInvalid):
        spool.manifest(session_name, State.SEALED)
