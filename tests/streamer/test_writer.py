"""The writer's thread against segments that fail on command."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from include.spool import SegmentWriter, Session, Spool, State, SyncFailed
from streamer.writer import DiskFailed, DiskWriter, Segments
from tests.streamer.support.flaky_disk import FlakyDisk
from tests.streamer.support.waiting import eventually


class Lines:
    """Appends numbered lines and knows what they add up to."""

    def __init__(self, writer: DiskWriter) -> None:
        self.writer = writer
        self.number = 0
        self.all = bytearray()

    def add(self, count: int = 1, width: int = 10) -> bool:
        """Append lines of `width` bytes; whether there is room for more."""
        room = True
        for _ in range(count):
            self.number += 1
            line = b"%0*d\n" % (width - 1, self.number)
            self.all += line
            room = self.writer.append(line, self.number)
        return room

    async def durable(self) -> None:
        """Wait until the last line is durable."""
        await eventually(lambda: self.writer.durable_record_no == self.number)


@asynccontextmanager
async def writing(
    disk: FlakyDisk, buffer_max_bytes: int = 1_000_000, hangs_after_seconds: float = 5.0
) -> AsyncIterator[Lines]:
    """A started writer over the disk, closed at the end."""
    writer = make_writer(disk, buffer_max_bytes, hangs_after_seconds=hangs_after_seconds)
    writer.start()
    yield Lines(writer)
    await writer.close(5.0)


def make_writer(
    disk: Segments,
    buffer_max_bytes: int = 1_000_000,
    on_commit: Callable[[float, float], None] = lambda seconds, age: None,
    hangs_after_seconds: float = 5.0,
) -> DiskWriter:
    """A writer with short intervals."""
    return DiskWriter(
        disk,
        flush_interval_ms=2,
        commit_interval_ms=4,
        buffer_max_bytes=buffer_max_bytes,
        on_commit=on_commit,
        hangs_after_seconds=hangs_after_seconds,
    )


FULL_DISK = OSError(errno.ENOSPC, "No space left on device")
READ_ONLY = OSError(errno.EROFS, "Read-only file system")
DEFECT = OSError(errno.EIO, "Input/output error")
LOST = SyncFailed(errno.ENOSPC, "No space left on device")


async def test_lines_become_durable_in_order() -> None:
    """What is reported durable was synced; closing hands the segment over."""
    disk = FlakyDisk()
    async with writing(disk) as lines:
        lines.add(100)
        await lines.durable()
        assert disk.synced == lines.all
        assert lines.writer.durable_lag_seconds == 0
        assert lines.writer.all_durable
    assert disk.closed


async def test_nothing_is_durable_before_the_sync() -> None:
    """A write alone proves nothing."""
    disk = FlakyDisk()
    disk.errors["sync"] = DEFECT
    writer = make_writer(disk)
    writer.start()
    lines = Lines(writer)
    lines.add(3)
    with pytest.raises(DiskFailed):
        await writer.supervise()
    assert disk.written == lines.all
    assert writer.durable_record_no == 0
    assert writer.durable_lag_seconds > 0


@pytest.mark.parametrize("error", [FULL_DISK, READ_ONLY], ids=["full", "read-only"])
async def test_failing_write_is_repeated_until_it_succeeds(error: OSError) -> None:
    """The state says what is wrong; afterwards every line is there once, in order."""
    disk = FlakyDisk()
    async with writing(disk) as lines:
        lines.add(5)
        await lines.durable()
        disk.errors["write"] = error
        lines.add(5)
        await eventually(lambda: lines.writer.failure)
        assert lines.writer.failure is not None
        assert lines.writer.failure.error == str(error)
        assert lines.writer.durable_record_no == 5
        assert not lines.writer.all_durable
        lines.add(5)
        checks = disk.checks
        await eventually(lambda: disk.checks > checks + 1)
        disk.errors.clear()
        await lines.durable()
        await eventually(lambda: lines.writer.failure is None)
    assert disk.synced == lines.all


async def test_failing_rotation_does_not_stop_the_lines() -> None:
    """A segment that cannot be renamed is still written and synced; the state says what is wrong."""
    disk = FlakyDisk()
    async with writing(disk) as lines:
        disk.errors["check"] = READ_ONLY
        await eventually(lambda: lines.writer.failure)
        lines.add(5)
        await lines.durable()
        disk.errors.clear()
        await eventually(lambda: lines.writer.failure is None)


@pytest.mark.parametrize("step", ["write", "check", "sync"])
async def test_defective_disk_ends_the_writer(step: str) -> None:
    """After an I/O error nobody knows what the disk holds: going on would pretend to."""
    disk = FlakyDisk()
    disk.errors[step] = DEFECT
    writer = make_writer(disk)
    writer.start()
    Lines(writer).add()
    with pytest.raises(DiskFailed, match="Input/output error"):
        await writer.supervise()


@pytest.mark.parametrize("step", ["sync", "check", "close"])
async def test_lost_sync_is_never_repeated(step: str) -> None:
    """The kernel may forget the pages it could not write: even a full disk is final there, whichever step synced."""
    disk = FlakyDisk()
    disk.errors[step] = LOST
    writer = make_writer(disk)
    writer.start()
    Lines(writer).add()
    with pytest.raises(DiskFailed, match="may not have reached the disk"):
        await writer.close(5.0)
    assert not disk.closed


async def test_sync_that_was_not_tried_is_repeated() -> None:
    """Segments that could not even begin to sync may do so later."""
    disk = FlakyDisk()
    disk.errors["sync"] = READ_ONLY
    async with writing(disk) as lines:
        lines.add(5)
        await eventually(lambda: lines.writer.failure)
        assert lines.writer.durable_record_no == 0
        disk.errors.clear()
        await lines.durable()


async def test_rotation_with_a_lost_sync_ends_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With real segments: the sealer's rename makes the writer sync and let go; that sync fails."""
    spool = Spool.open(tmp_path / "spool", "simulated", create=True)
    writer = make_writer(SegmentWriter(spool, Session.new("streamer-1", 0), 10**9, 3600))
    writer.start()
    lines = Lines(writer)
    lines.add(5)
    await lines.durable()

    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    spool.rotate(spool.segments(State.ACTIVE)[0])
    with pytest.raises(DiskFailed, match="may not have reached the disk"):
        await writer.supervise()


async def test_call_that_does_not_return_is_a_failure() -> None:
    """A disk that hangs shows up like one that refuses, and recovers like it."""
    disk = FlakyDisk()
    disk.free.clear()
    async with writing(disk, hangs_after_seconds=0.05) as lines:
        lines.add(5)
        failure = await eventually(lambda: lines.writer.failure)
        assert failure
        assert "hangs" in failure.error
        assert await eventually(lambda: lines.writer.durable_lag_seconds >= 0.05)
        disk.free.set()
        await lines.durable()
        await eventually(lambda: lines.writer.failure is None)
    assert disk.synced == lines.all


async def test_full_buffer_is_handed_over_piece_by_piece() -> None:
    """No single call takes much more than a mebibyte: the buffer is never there twice."""
    disk = FlakyDisk()
    sizes: list[int] = []
    write = disk.write

    def measure(lines: bytes | bytearray) -> None:
        write(lines)
        sizes.append(len(lines))

    disk.write = measure  # type: ignore[method-assign]
    disk.free.clear()
    async with writing(disk, buffer_max_bytes=8_000_000) as lines:
        while lines.add(100, width=500):
            pass
        assert lines.writer.buffered_bytes == len(lines.all)
        assert lines.writer.buffered_lines == lines.number
        disk.free.set()
        await lines.durable()
        assert lines.writer.buffered_lines == 0
        assert lines.writer.buffered_bytes == 0
    assert disk.synced == lines.all
    assert len(sizes) >= 8
    assert max(sizes) <= 1024 * 1024 + 500


async def test_closing_brings_out_a_full_buffer_at_once() -> None:
    """Without a pause between the pieces: the time to stop in is short."""
    disk = FlakyDisk()
    disk.free.clear()
    writer = DiskWriter(
        disk,
        flush_interval_ms=1000,
        commit_interval_ms=1000,
        buffer_max_bytes=10**9,
        on_commit=lambda seconds, age: None,
    )
    writer.start()
    lines = Lines(writer)
    lines.add(40_000, width=500)
    disk.free.set()
    await writer.close(5.0)
    assert disk.synced == lines.all


async def test_spent_budget_stops_the_reader_until_half_of_it_is_free() -> None:
    """append says so, room() waits, and no line is refused meanwhile."""
    disk = FlakyDisk()
    disk.free.clear()
    async with writing(disk, buffer_max_bytes=1000) as lines:
        assert lines.add(50)
        assert not lines.add(60)
        waiting = asyncio.create_task(lines.writer.room())
        assert not lines.add(1)
        assert not waiting.done()
        assert lines.writer.buffered_bytes == 1110
        disk.free.set()
        await waiting
        assert lines.writer.buffered_bytes <= 500
        assert lines.add(1)
    assert disk.synced == lines.all


async def test_room_does_not_wait_while_there_is_budget() -> None:
    """A reader that asks early goes on at once."""
    async with writing(FlakyDisk()) as lines:
        async with asyncio.timeout(1):
            await lines.writer.room()


async def test_segments_are_looked_after_while_nothing_comes() -> None:
    """A rename by the scheduler is noticed without traffic."""
    disk = FlakyDisk()
    async with writing(disk):
        await eventually(lambda: disk.checks > 3)
    assert disk.written == b""


async def test_closing_brings_out_what_a_failing_disk_held_back() -> None:
    """A disk that recovers within the time given loses nothing."""
    disk = FlakyDisk()
    disk.errors["write"] = FULL_DISK
    writer = make_writer(disk)
    writer.start()
    lines = Lines(writer)
    lines.add(5)
    await eventually(lambda: disk.failures)
    closing = asyncio.create_task(writer.close(5.0))
    seen = disk.failures
    await eventually(lambda: disk.failures > seen + 1)
    disk.errors.clear()
    await closing
    assert disk.synced == lines.all
    assert disk.closed


async def test_closing_on_a_full_disk_says_what_is_lost() -> None:
    """After the time given, the lines that never reached the disk are counted in the error."""
    disk = FlakyDisk()
    disk.errors["write"] = FULL_DISK
    writer = make_writer(disk)
    writer.start()
    Lines(writer).add(5)
    with pytest.raises(DiskFailed, match="50 bytes"):
        await writer.close(0.05)


async def test_closing_does_not_wait_for_a_disk_that_hangs() -> None:
    """A call that never returns keeps neither the loop nor the process."""
    disk = FlakyDisk()
    disk.free.clear()
    writer = make_writer(disk)
    writer.start()
    Lines(writer).add(5)
    with pytest.raises(DiskFailed, match="50 bytes"):
        await writer.close(0.05)
    disk.free.set()


async def test_segment_that_cannot_be_handed_over_is_left_where_it_is() -> None:
    """Everything is synced by then: the sealer finds it in active/."""
    disk = FlakyDisk()
    disk.errors["close"] = READ_ONLY
    async with writing(disk) as lines:
        lines.add(5)
    assert disk.synced == lines.all


async def test_every_sync_is_timed() -> None:
    """Its own duration, and how old the oldest line is that it made durable: never younger than the sync took."""
    commits: list[tuple[float, float]] = []
    writer = make_writer(FlakyDisk(), on_commit=lambda seconds, age: commits.append((seconds, age)))
    writer.start()
    lines = Lines(writer)
    lines.add()
    await lines.durable()
    await writer.close(1.0)
    ((seconds, age),) = commits
    assert 0 <= seconds <= age < 5
