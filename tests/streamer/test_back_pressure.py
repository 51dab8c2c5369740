"""A disk that is slower than the feed, or stands still: what is done about it, in which order, and what is recorded."""

import errno
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection

from include.spool import RecordEncoder, Session
from streamer.clock import SessionClock
from streamer.commits import CommitAges
from streamer.gaps import GapTracker
from streamer.recorder import Recorder
from streamer.traffic import Traffic
from streamer.upkeep import Upkeep
from streamer.writer import DiskWriter
from tests.streamer.support.exchange import Exchange, heartbeat_frame, match_frame
from tests.streamer.support.flaky_disk import FlakyDisk
from tests.streamer.support.running import Running
from tests.streamer.support.waiting import elapsed, eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]

BUDGET = 100_000
FRAMES = 20_000


async def pour(exchange: Exchange, connection: ServerConnection) -> None:
    """Send far more than the budget, as fast as the streamer reads."""
    await exchange.acknowledge(connection)
    for number in range(FRAMES):
        await exchange.send(connection, match_frame(number))
    await connection.wait_closed()


async def test_hung_disk_stops_the_reading_not_the_connection(exchange: Exchange, running: Run) -> None:
    """Memory stays within the budget, silence while not reading is not the feed's, and nothing is lost afterwards."""
    disk = FlakyDisk()
    exchange.handler = pour
    disk.free.clear()
    async with running(
        segments=disk, channels=("matches",), buffer_max_bytes=BUDGET, heartbeat_timeout_seconds=0.3
    ) as run:
        status = run.streamer.status
        await eventually(lambda: status.writer.buffered_bytes > BUDGET)
        held = status.traffic.messages
        await elapsed(0.6)
        assert status.traffic.messages == held
        assert status.writer.buffered_bytes < BUDGET + 10_000
        disk.free.set()
        await run.messages(FRAMES + 1)
    received = [line for line in disk.synced.splitlines() if b'"type":"match"' in line]
    assert [line[line.index(b'"type":"match"') :] for line in received] == [frame[1:] for frame in exchange.sent[1:]]
    assert len(exchange.connections) == 1
    records = control(disk, "pulse_back_pressure")
    assert [record["stage"] for record in records[:2]] == ["paused", "resumed"]
    assert records[0]["buffered_bytes"] > BUDGET
    assert records[1]["seconds"] > 0.5
    # Two for every time that half of the budget was filled again, however long the disk takes.
    assert len(records) <= 2 * (1 + len(disk.synced) // (BUDGET // 2))


def control(disk: FlakyDisk, type_: str) -> list[dict[str, Any]]:
    """The details of the control records of a type that reached the disk."""
    rows = (msgspec.json.decode(line) for line in disk.synced.splitlines())
    return [row["detail"] for row in rows if row["type"] == type_]


async def test_connection_that_is_not_read_for_long_is_given_up(exchange: Exchange, running: Run) -> None:
    """It is closed as disk_slow, the next one waits for the disk, and every stage is a record and a count."""
    disk = FlakyDisk()
    exchange.handler = pour
    disk.free.clear()
    async with running(segments=disk, channels=("matches",), buffer_max_bytes=BUDGET, read_pause_max_seconds=1) as run:
        await eventually(lambda: run.streamer.status.last_error.startswith("disk_slow"))
        held = run.streamer.status.writer.buffered_lines
        await elapsed(0.3)
        assert len(exchange.connections) == 1
        assert run.streamer.status.writer.buffered_lines == held
        disk.free.set()
        await eventually(lambda: len(exchange.connections) == 2)
        _, metrics = await run.get("/metrics")
    found = dict(re.findall(r"^pulse_streamer_(\S+) (\S+)$", metrics, re.MULTILINE))
    assert float(found['back_pressure_total{stage="paused"}']) >= 1
    assert found['back_pressure_total{stage="given_up"}'] == "1.0"
    assert found['reconnects_total{cause="disk_slow"}'] == "1.0"
    first, second = control(disk, "pulse_back_pressure")[:2]
    assert (first["stage"], second["stage"]) == ("paused", "given_up")
    assert second["seconds"] >= 1
    assert control(disk, "pulse_disconnected")[0]["reason"] == "disk_slow"


class Parts:
    """The parts between a frame and the disk, without a feed and an HTTP server."""

    def __init__(self, disk: FlakyDisk, **options: Any) -> None:
        self.now_ns = 1_783_465_096_000_000_000
        self.wall_step_ns = 0
        self.commits = CommitAges(lambda: self.now_ns / 1e9)
        clock = SessionClock(lambda: self.now_ns + self.wall_step_ns, lambda: self.now_ns)
        self.writer = DiskWriter(
            disk,
            flush_interval_ms=2,
            commit_interval_ms=4,
            buffer_max_bytes=BUDGET,
            on_commit=lambda seconds, age: self.commits.add(age),
            **options,
        )
        encoder = RecordEncoder(Session.new("streamer-1", self.now_ns), clock.now_ns)
        self.recorder = Recorder(encoder, self.writer, Traffic((), lambda lag: None), GapTracker(0.0))
        self.upkeep = Upkeep(clock, self.recorder, self.writer, self.commits)
        self.writer.start()

    def receive(self, frame: bytes) -> None:
        """Record a frame that came alone."""
        self.recorder.frames([frame], 1, lambda header, frame: None)


async def test_failing_disk_is_recorded_once_and_once_when_it_recovers() -> None:
    """However long it takes; the records wait in the buffer like any line."""
    disk = FlakyDisk()
    disk.errors["write"] = OSError(errno.ENOSPC, "No space left on device")
    parts = Parts(disk)
    parts.receive(match_frame(1))
    await eventually(lambda: parts.writer.failure)
    for _ in range(10):
        parts.upkeep.look()
    disk.errors.clear()
    await eventually(lambda: parts.writer.failure is None)
    parts.upkeep.look()
    await eventually(lambda: parts.writer.all_durable)
    failing, recovered = control(disk, "pulse_disk")
    assert (failing["state"], recovered["state"]) == ("failing", "recovered")
    assert "No space left on device" in failing["error"]
    assert recovered["seconds"] >= failing["seconds"] >= 0
    assert parts.recorder.disk_failures == 1
    await parts.writer.close(5.0)


async def test_how_long_lines_wait_for_the_disk_is_recorded_once_a_minute() -> None:
    """The slow commit of a minute is in that minute's record, with how many commits there were, and in no other."""
    disk = FlakyDisk()
    parts = Parts(disk)
    for number in range(3):
        parts.receive(match_frame(number))
        await eventually(lambda: parts.writer.all_durable)
    parts.upkeep.look()
    parts.now_ns += 59_000_000_000
    disk.free.clear()
    parts.receive(match_frame(3))
    await elapsed(0.2)
    disk.free.set()
    await eventually(lambda: parts.writer.all_durable)
    for _ in range(2):
        parts.upkeep.look()
        parts.now_ns += 2_000_000_000
        parts.upkeep.look()
    await eventually(lambda: parts.writer.all_durable)
    (summary,) = control(disk, "pulse_commits")
    assert summary["commits"] == 4
    assert 0 <= summary["durable_p50_us"] < 150_000
    assert 200_000 <= summary["durable_p95_us"] == summary["durable_p99_us"] == summary["durable_max_us"]
    await parts.writer.close(5.0)


async def test_short_failure_is_recorded_too() -> None:
    """Also when nobody looked while it lasted; once."""
    disk = FlakyDisk()
    disk.errors["write"] = OSError(errno.ENOSPC, "No space left on device")
    parts = Parts(disk)
    parts.receive(match_frame(1))
    await eventually(lambda: parts.writer.failure)
    disk.errors.clear()
    await eventually(lambda: parts.writer.failure is None)
    for _ in range(3):
        parts.upkeep.look()
    await eventually(lambda: parts.writer.all_durable)
    assert [record["state"] for record in control(disk, "pulse_disk")] == ["failing", "recovered"]
    await parts.writer.close(5.0)


async def test_hung_disk_is_recorded_when_it_goes_on() -> None:
    """A call that does not return is a state, not only a silence."""
    disk = FlakyDisk()
    disk.free.clear()
    parts = Parts(disk, hangs_after_seconds=0.05)
    parts.receive(match_frame(1))
    await eventually(lambda: parts.writer.failure)
    parts.upkeep.look()
    disk.free.set()
    await eventually(lambda: parts.writer.failure is None)
    parts.upkeep.look()
    await eventually(lambda: parts.writer.all_durable)
    assert [record["state"] for record in control(disk, "pulse_disk")] == ["failing", "recovered"]
    assert "hangs" in control(disk, "pulse_disk")[0]["error"]
    await parts.writer.close(5.0)


async def test_hung_disk_is_not_ready(exchange: Exchange, running: Run) -> None:
    """Within seconds, although no call has failed."""
    disk = FlakyDisk()
    disk.free.clear()
    async with running(segments=disk) as run:
        await eventually(lambda: any(reason.startswith("disk") for reason in run.streamer.status.not_ready()))
        # The call that hangs may have begun before the first line was appended.
        await eventually(lambda: run.streamer.status.writer.durable_lag_seconds >= 5)
        await eventually(lambda: run.streamer.status.state == "disk_failing")
        disk.free.set()
        await eventually(lambda: run.streamer.status.state != "disk_failing")


async def test_clock_step_is_recorded() -> None:
    """In microseconds, negative for back; no record goes back in time."""
    disk = FlakyDisk()
    parts = Parts(disk)
    parts.wall_step_ns = -3_000_000_000
    parts.upkeep.look()
    parts.upkeep.look()
    parts.wall_step_ns += 1_000_000_000
    parts.upkeep.look()
    await eventually(lambda: parts.writer.all_durable)
    assert control(disk, "pulse_clock") == [{"step_us": -3_000_000}, {"step_us": 1_000_000}]
    await parts.writer.close(5.0)


async def test_heartbeats_are_not_held_against_trades_that_nobody_reads() -> None:
    """While the buffer is full, the trades that a heartbeat named may lie in the socket."""
    disk = FlakyDisk()
    disk.free.clear()
    parts = Parts(disk)
    parts.receive(match_frame(1))
    parts.receive(heartbeat_frame(2))
    while parts.recorder.has_room:
        parts.receive(match_frame(1))
    parts.upkeep.look()
    disk.free.set()
    await parts.recorder.room()
    parts.receive(match_frame(2))
    parts.upkeep.look()
    await eventually(lambda: parts.writer.all_durable)
    assert control(disk, "pulse_gap") == []
    await parts.writer.close(5.0)
