"""The writer's side: locks, rotation, full disks."""

import errno
import fcntl
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from include.spool import RecordEncoder, SealKind, SegmentName, SegmentWriter, Session, Spool, State, seal, seal_all

Matches = Callable[[int], list[bytes]]
FramesIn = Callable[[Spool, State], list[bytes]]


class Clock:
    """A monotonic clock that goes on when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The writer's clock."""
    return Clock()


@pytest.fixture
def writer(spool: Spool, session: Session, clock: Clock) -> Iterator[SegmentWriter]:
    """A writer that rotates at 10,000 bytes or 60 seconds."""
    writer = SegmentWriter(spool, session, max_bytes=10_000, max_age_seconds=60, monotonic=clock)
    yield writer
    writer.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse to grow files past a size: a full disk, with a short write before the error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def is_locked(spool: Spool, name: SegmentName, state: State) -> bool:
    """Whether somebody holds the lock of a segment."""
    with spool.path(name, state).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_nothing_is_opened_before_the_first_line(spool: Spool, writer: SegmentWriter) -> None:
    """A session that receives nothing leaves no segment."""
    writer.write(b"")
    writer.sync()

    assert writer.check() is None
    assert writer.close() is None
    assert not any(spool.folder(State.ACTIVE).iterdir())


def test_a_segment_is_locked_while_it_is_written(spool: Spool, writer: SegmentWriter, encoder: RecordEncoder) -> None:
    """The active segment is locked, and nothing half-born lies beside it."""
    writer.write(encoder.frame(b'{"type":"a"}', 1).line)

    [name] = spool.segments(State.ACTIVE)
    assert name == writer.current
    assert is_locked(spool, name, State.ACTIVE)
    assert [path.name for path in spool.folder(State.ACTIVE).iterdir()] == [name.file_name]


def test_lines_reach_the_kernel_at_once(spool: Spool, writer: SegmentWriter, encoder: RecordEncoder) -> None:
    """What was written is in the file without a sync."""
    lines = [encoder.frame(b'{"type":"a"}', 1).line for _ in range(3)]
    for line in lines:
        writer.write(line)

    [name] = spool.segments(State.ACTIVE)
    assert spool.path(name, State.ACTIVE).read_bytes() == b"".join(lines)


def test_only_whole_lines_are_accepted(writer: SegmentWriter) -> None:
    """A batch that ends inside a line is a programming error."""
    with pytest.raises(ValueError, match="whole lines"):
        writer.write(b'{"torn')


def test_closing_hands_the_segment_over(spool: Spool, writer: SegmentWriter, encoder: RecordEncoder) -> None:
    """At exit the segment waits for the sealer, unlocked."""
    writer.write(encoder.frame(b'{"type":"a"}', 1).line)

    name = writer.close()

    assert spool.segments(State.SEALING) == [name]
    assert name is not None
    assert not is_locked(spool, name, State.SEALING)
    assert writer.current is None
    assert writer.close() is None


def test_a_large_segment_is_rotated(spool: Spool, writer: SegmentWriter, encoder: RecordEncoder) -> None:
    """A segment that reached its size is handed over at the next check; the next line opens the next number."""
    line = encoder.frame(b'{"type":"a"}', 1).line
    writer.write(line * ((10_000 - 1) // len(line)))
    assert writer.check() is None
    writer.write(line)

    closed = writer.check()
    writer.write(line)

    assert closed is not None
    assert writer.current is not None
    assert (closed.segment_no, writer.current.segment_no) == (1, 2)
    assert spool.segments(State.SEALING) == [closed]


def test_an_old_segment_is_rotated(spool: Spool, writer: SegmentWriter, encoder: RecordEncoder, clock: Clock) -> None:
    """A segment is handed over when its first record is old enough, without a scheduler."""
    writer.write(encoder.frame(b'{"type":"a"}', 1).line)
    clock.now += 59.9
    writer.write(encoder.frame(b'{"type":"a"}', 1).line)
    assert writer.check() is None
    clock.now += 0.1

    assert writer.check() is not None
    assert len(spool.segments(State.SEALING)) == 1


def test_a_rotated_segment_is_let_go_at_the_next_check(
    spool: Spool, writer: SegmentWriter, encoder: RecordEncoder, matches: Matches, frames_in: FramesIn
) -> None:
    """Until its check the writer keeps lock and file, so the sealer waits; then writing goes on in the next segment."""
    first, second, third = (encoder.frame(frame, 1).line for frame in matches(3))
    writer.write(first)
    [name] = spool.rotate_all()
    writer.write(second)
    assert seal(spool, name, timeout_seconds=0).kind is SealKind.BUSY

    assert writer.check() == name
    assert seal(spool, name, timeout_seconds=0).kind is SealKind.SEALED
    writer.write(third)
    writer.close()
    seal_all(spool, timeout_seconds=0)

    assert frames_in(spool, State.SEALED) == matches(3)
    assert [name.segment_no for name in spool.segments(State.SEALED)] == [1, 2]


def test_a_name_that_points_to_another_file_is_not_ours(
    spool: Spool, writer: SegmentWriter, encoder: RecordEncoder
) -> None:
    """The check compares files, not names."""
    writer.write(encoder.frame(b'{"type":"a"}', 1).line)
    [name] = spool.rotate_all()
    spool.path(name, State.ACTIVE).write_bytes(b"a copy put here by hand")

    assert writer.check() == name


@pytest.mark.parametrize("room", [0, 1, 150, 151, 300, 449])
def test_a_full_disk_loses_and_doubles_nothing(
    spool: Spool,
    writer: SegmentWriter,
    encoder: RecordEncoder,
    matches: Matches,
    frames_in: FramesIn,
    room: int,
) -> None:
    """A batch that did not fit leaves no byte behind and can be written again when there is room."""
    lines = [encoder.frame(frame, 1).line for frame in matches(4)]
    batch = b"".join(lines[1:])
    assert room < len(batch)
    writer.write(lines[0])
    [name] = spool.segments(State.ACTIVE)

    for _ in range(3):
        with largest_file(len(lines[0]) + room), pytest.raises(OSError) as caught:
            writer.write(batch)
        assert caught.value.errno == errno.EFBIG
        assert spool.path(name, State.ACTIVE).read_bytes() == lines[0]
    writer.write(batch)
    writer.close()
    seal_all(spool, timeout_seconds=0)

    assert frames_in(spool, State.SEALED) == matches(4)


def test_a_disk_full_from_the_start_leaves_the_first_number_in_use(
    spool: Spool, writer: SegmentWriter, encoder: RecordEncoder, clock: Clock
) -> None:
    """A segment that could not take its first line is neither rotated nor given up."""
    line = encoder.frame(b'{"type":"a"}', 1).line
    with largest_file(0), pytest.raises(OSError):
        writer.write(line)
    clock.now += 1000

    assert writer.check() is None
    assert spool.rotate_all() == []
    writer.write(line)
    assert writer.close() == SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", 1)


def test_a_segment_that_cannot_be_born_leaves_nothing(
    spool: Spool, writer: SegmentWriter, encoder: RecordEncoder
) -> None:
    """When the folder refuses the new name, the next try starts afresh with the same number."""
    line = encoder.frame(b'{"type":"a"}', 1).line
    blocker = spool.folder(State.ACTIVE) / "streamer-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson"
    blocker.mkdir()
    with pytest.raises(OSError):
        writer.write(line)
    blocker.rmdir()
    assert not any(spool.folder(State.ACTIVE).iterdir())

    writer.write(line)

    assert writer.current is not None
    assert writer.current.segment_no == 1
