"""The disk budget of the spool."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from include.spool import Spool, State
from streamer.budget import ARCHIVE_EVERY, Level, SpoolBudget, level_of
from tests.streamer.support.exchange import Exchange, heartbeat_frame
from tests.streamer.support.running import Running
from tests.streamer.support.spool_view import SpoolView, control
from tests.streamer.support.waiting import elapsed, eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]

MAX_BYTES = 1024 * 1024


@pytest.mark.parametrize(
    ("used_bytes", "before", "level"),
    [
        (0, Level.OK, Level.OK),
        (799, Level.OK, Level.OK),
        (800, Level.OK, Level.WARNING),
        (999, Level.WARNING, Level.WARNING),
        (1000, Level.OK, Level.FULL),
        (900, Level.FULL, Level.FULL),
        (899, Level.FULL, Level.WARNING),
        (799, Level.FULL, Level.OK),
    ],
)
def test_levels(used_bytes: int, before: Level, level: Level) -> None:
    """A warning from 80 %, full from 100 % until below 90 %."""
    assert level_of(used_bytes, 1000, before) is level


def put(spool: Spool, state: State, size: int, number: int = 1) -> Path:
    """A segment of another streamer, of which only the size matters."""
    folder = spool.folder(state) / ("2026-07-07" if state is State.ARCHIVED else "")
    folder.mkdir(exist_ok=True)
    path = folder / f"streamer-9.20260707T225816Z-3f9a2c41.{number:06d}.v1.ndjson"
    with path.open("wb") as file:
        file.truncate(size)
    return path


async def test_everything_but_the_archive_counts(tmp_path: Path) -> None:
    """What is quarantined too: it takes space until somebody looks at it."""
    spool = Spool.open(tmp_path / "spool", "simulated", create=True)
    for number, state in enumerate(State, start=1):
        put(spool, state, 10**number)
    budget = SpoolBudget(spool, 10**9, lambda *change: None)
    await budget.measure()
    assert budget.used_bytes == 10 + 100 + 1000 + 10_000 + 1_000_000
    assert budget.usage[State.ARCHIVED].bytes == 100_000


async def test_archive_is_measured_seldom(tmp_path: Path) -> None:
    """It grows without end; its last size stays known in between."""
    spool = Spool.open(tmp_path / "spool", "simulated", create=True)
    budget = SpoolBudget(spool, 10**9, lambda *change: None)
    await budget.measure()
    put(spool, State.ARCHIVED, 1000)
    for _ in range(ARCHIVE_EVERY - 1):
        await budget.measure()
        assert budget.usage[State.ARCHIVED].bytes == 0
    await budget.measure()
    assert budget.usage[State.ARCHIVED].bytes == 1000


async def test_each_change_of_level_is_told_once(tmp_path: Path) -> None:
    """Up and down."""
    spool = Spool.open(tmp_path / "spool", "simulated", create=True)
    changes: list[tuple[Level, int, int]] = []
    budget = SpoolBudget(spool, 1000, lambda *change: changes.append(change))
    for size in (500, 500, 850, 860, 1000, 950, 870, 100):
        put(spool, State.LOADED, size)
        await budget.measure()
    assert changes == [
        (Level.WARNING, 850, 1000),
        (Level.FULL, 1000, 1000),
        (Level.WARNING, 870, 1000),
        (Level.OK, 100, 1000),
    ]


async def test_spool_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    """The level stays what it was."""
    spool = Spool.open(tmp_path / "spool", "simulated", create=True)
    budget = SpoolBudget(spool, 1000, lambda *change: None)
    put(spool, State.SEALED, 2000).rename(
        spool.folder(State.LOADED) / "streamer-9.20260707T225816Z-3f9a2c41.000001.v1.ndjson"
    )
    await budget.measure()
    (tmp_path / "spool").rename(tmp_path / "elsewhere")
    await budget.measure()
    assert budget.level is Level.FULL
    assert budget.used_bytes == 2000


async def test_full_spool_ends_the_capture_until_there_is_room(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """The connection is closed, none is opened, state and readiness say why; then everything goes on by itself."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        while True:
            await exchange.send(connection, heartbeat_frame(1))
            await elapsed(0.01)

    exchange.handler = play
    async with running(spool_max_bytes=MAX_BYTES) as run:
        await run.eventually_ready()
        blocker = put(spool.open(), State.SEALED, 2 * MAX_BYTES)
        await run.streamer.budget.measure()
        await eventually(lambda: not run.streamer.status.connected)
        assert (await run.get_json("/status"))["state"] == "spool_full"
        assert any("spool full" in reason for reason in (await run.get_json("/readyz"))["reasons"])
        _, metrics = await run.get("/metrics")
        assert re.search(r"^pulse_streamer_spool_full 1.0$", metrics, re.MULTILINE)
        assert re.search(r'^pulse_streamer_reconnects_total\{cause="spool_full"\} 1.0$', metrics, re.MULTILINE)
        assert len(exchange.connections) == 1
        blocker.unlink()
        await run.streamer.budget.measure()
        await eventually(lambda: len(exchange.connections) == 2)
        await run.eventually_ready()
    lines = spool.seal()
    assert [detail["level"] for detail in control(lines, "pulse_spool_budget")] == ["full", "ok"]
    assert control(lines, "pulse_disconnected")[0]["reason"] == "spool_full"


async def test_full_spool_at_the_start_opens_no_connection(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """The budget is known before the first attempt."""
    put(Spool.open(spool.path, "simulated", create=True), State.LOADED, 2 * MAX_BYTES)
    async with running(spool_max_bytes=MAX_BYTES) as run:
        await eventually(lambda: run.streamer.status.state == "spool_full")
        await eventually(lambda: run.streamer.status.feeds)
        assert (await run.get_json("/status"))["connected"] is False
        (put(spool.open(), State.LOADED, 0)).unlink()
        await run.streamer.budget.measure()
        await eventually(lambda: run.streamer.status.connected)
    assert len(exchange.connections) == 1
    assert control(spool.seal(), "pulse_spool_budget")[0] == {
        "level": "full",
        "bytes": 2 * MAX_BYTES,
        "max_bytes": MAX_BYTES,
    }
