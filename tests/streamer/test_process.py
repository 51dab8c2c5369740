"""`python -m streamer` as its operator and its supervisor see it."""

import asyncio
import json
import random
import resource
import signal
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection

from include.spool import Spool
from tests.streamer.support.exchange import Exchange, match_frame, playing
from tests.streamer.support.running import Process, unused_port
from tests.streamer.support.spool_view import SpoolView, control, frames
from tests.streamer.support.waiting import eventually

Start = Callable[..., Awaitable[Process]]


async def pour(exchange: Exchange, connection: ServerConnection) -> None:
    """Send trades as fast as they are read, until the connection ends."""
    await exchange.acknowledge(connection)
    while True:
        for _ in range(100):
            await exchange.send(connection, match_frame(len(exchange.sent)))
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_in_order_within_two_seconds(
    exchange: Exchange, start_process: Start, spool: SpoolView, number: signal.Signals
) -> None:
    """At full rate: what was received is synced and handed over, the last record says so, the exit status is 0."""
    exchange.handler = pour
    process = await start_process()
    await process.until(lambda status: status["messages_total"] > 1000)
    seconds = await process.end(number)
    assert process.child.returncode == 0, await process.log()
    assert seconds < 2
    assert list((spool.path / "active").iterdir()) == []
    lines = spool.seal()
    assert lines[-1].type == "pulse_stopped"
    assert frames(lines) == exchange.sent[: len(frames(lines))]


async def test_signal_during_a_wait_stops_at_once(start_process: Start, spool: SpoolView) -> None:
    """A streamer that waits for its exchange can be stopped too."""
    process = await start_process(feed_url="ws://127.0.0.1:1", backoff_max_seconds=30)
    await process.until(lambda status: status["state"] == "waiting")
    assert await process.end(signal.SIGTERM) < 2
    assert process.child.returncode == 0
    assert [line.type for line in spool.seal()][-1] == "pulse_stopped"


async def test_killed_at_any_moment_keeps_a_contiguous_prefix(
    exchange: Exchange, start_process: Start, spool: SpoolView
) -> None:
    """kill -9 at full rate, several times: per session every frame up to some point is there once, in order, and at
    least as far as the process had called durable."""
    exchange.handler = pour
    chance = random.Random(20260707)
    durable: dict[str, int] = {}
    for _ in range(5):
        process = await start_process(flush_interval_ms=50, commit_interval_ms=100, segment_max_bytes=1_000_000)
        enough = chance.randrange(1, 6_000)
        status = await process.until(lambda status, enough=enough: status["messages_total"] >= enough)  # type: ignore[misc]
        await process.end(signal.SIGKILL)
        durable[status["session_id"]] = status["durable_record_no"]
    lines = spool.seal()
    for (session_id, record_no), sent in zip(durable.items(), exchange.sent_by, strict=True):
        session = [line for line in lines if line.session_id == session_id]
        assert len(session) >= record_no
        assert frames(session) == sent[: len(frames(session))]
        assert len(frames(session)) > 0


async def test_second_streamer_of_one_id_is_refused(exchange: Exchange, start_process: Start) -> None:
    """Exit status 3 and a sentence that names the variable; the first one does not notice."""
    first = await start_process()
    await first.until(lambda status: status["connected"])
    second = await start_process()
    assert await second.child.wait() == 3
    assert "PULSE_STREAMER_ID" in await second.log()
    assert (await first.status())["connected"]
    assert len(exchange.connections) == 1


async def test_two_streamers_share_a_spool_under_two_ids(
    exchange: Exchange, start_process: Start, spool: SpoolView
) -> None:
    """Each has its own session and segments."""
    exchange.handler = playing(match_frame(1))
    for name in ("left", "right"):
        process = await start_process(streamer_id=name)
        # started, connected, acknowledgement, subscribed, trade
        await process.until(lambda status: status["durable_record_no"] == 5)
    lines = spool.seal()
    assert len({line.session_id for line in lines}) == 2
    assert sorted(frames(lines)) == sorted(exchange.sent)


async def test_full_disk_is_waited_out(exchange: Exchange, start_process: Start, spool: SpoolView) -> None:
    """A real process whose files may not grow says so, stays up, and loses nothing when they may again."""
    limited = asyncio.Event()

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        await limited.wait()
        for number in range(20_000):
            await exchange.send(connection, match_frame(number))
        await connection.wait_closed()

    exchange.handler = play
    process = await start_process(buffer_max_bytes=1024 * 1024)
    await process.until(lambda status: status["messages_total"] == 1)
    pid = process.child.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (500_000, before[1]))
    limited.set()
    status = await process.until(lambda status: status["state"] == "disk_failing")
    assert status["messages_total"] < 20_000
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    await process.until(lambda status: status["messages_total"] == 20_001 and status["state"] == "streaming")
    await process.end(signal.SIGTERM)
    assert process.child.returncode == 0
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    assert [detail["state"] for detail in control(lines, "pulse_disk")] == ["failing", "recovered"]
    stages = [detail["stage"] for detail in control(lines, "pulse_back_pressure")]
    assert stages[:2] == ["paused", "resumed"]


async def test_taken_http_port_ends_the_start(exchange: Exchange, start_process: Start) -> None:
    """Exit status 2 and a sentence that names the variable; the exchange is not bothered."""
    port = unused_port()
    listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    async with listener:
        process = await start_process(streamer_port=port)
        assert await process.child.wait() == 2
    log = await process.log()
    assert f"PULSE_STREAMER_PORT={port}" in log
    assert "Traceback" not in log
    assert exchange.connections == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PULSE_FLUSH_INTERVAL_MS", "soon", "PULSE_FLUSH_INTERVAL_MS='soon'"),
        ("PULSE_FLUSH_INTERVAL_MS", "0", ">= 1"),
        ("PULSE_PRODUCTS", "btc", "PULSE_PRODUCTS='btc'"),
        ("PULSE_FEED_URL", "https://example.org", "^wss?://"),
        ("PULSE_FEED_URL", "ws://", "no host"),
        ("PULSE_FEED_URL", "ws://localhost:port", "PULSE_FEED_URL='ws://localhost:port'"),
        ("PULSE_PRODUCT", "BTC-USD", "Did you mean PULSE_PRODUCTS?"),
    ],
)
async def test_wrong_setting_is_explained(start_process: Start, name: str, value: str, expected: str) -> None:
    """Exit status 2; the sentence names the variable, the value and what is allowed, without a traceback."""
    process = await start_process(env={name: value})
    assert await process.child.wait() == 2
    log = await process.log()
    assert name in log
    assert expected in log
    assert "Traceback" not in log


async def test_spool_of_another_source_is_refused(start_process: Start, spool: SpoolView) -> None:
    """Simulated data never go where live data lie."""
    Spool.open(spool.path, "live", create=True)
    process = await start_process()
    assert await process.child.wait() == 2
    assert "live" in await process.log()


async def test_spool_that_cannot_be_made_is_explained(start_process: Start, spool: SpoolView) -> None:
    """Exit status 1 and the variable, no traceback: a folder is in the way of a file."""
    spool.path.write_text("")
    process = await start_process()
    assert await process.child.wait() == 1
    log = await process.log()
    assert f"PULSE_SPOOL_DIR={spool.path}" in log
    assert "Traceback" not in log


async def test_handshake_refused_for_good_exits(exchange: Exchange, start_process: Start) -> None:
    """Exit status 1 and JSON logs that name the HTTP status."""
    exchange.refusals = [403]
    process = await start_process()
    assert await process.child.wait() == 1
    rows = [json.loads(row) for row in (await process.log()).splitlines()]
    assert any("403" in row.get("error", "") for row in rows)


async def output(process: Process) -> str:
    """Standard output of a process that ends by itself."""
    stdout, _ = await process.child.communicate()
    return stdout.decode()


async def test_check_tries_spool_and_feed(exchange: Exchange, start_process: Start, spool: SpoolView) -> None:
    """All well: status 0. A feed nobody listens on: status 1. Nothing is captured."""
    good = await start_process("--check")
    assert "failed" not in await output(good)
    assert good.child.returncode == 0
    bad = await start_process("--check", feed_url=f"ws://127.0.0.1:{unused_port()}")
    assert "failed  feed (PULSE_FEED_URL=" in await output(bad)
    assert bad.child.returncode == 1
    assert spool.seal() == []


async def test_check_finds_a_spool_that_cannot_be_written(start_process: Start, spool: SpoolView) -> None:
    """Status 1 and the variable."""
    spool.path.write_text("")
    process = await start_process("--check")
    assert "failed  spool (PULSE_SPOOL_DIR=" in await output(process)
    assert process.child.returncode == 1


async def test_printed_config_is_an_environment_file(start_process: Start, spool: SpoolView) -> None:
    """Every setting in effect, derived ones included, as NAME=value."""
    process = await start_process("--print-config", products=("SOL-USD", "ADA-USD"))
    rows = dict(row.split("=", 1) for row in (await output(process)).splitlines())
    assert process.child.returncode == 0
    assert rows["PULSE_PRODUCTS"] == "SOL-USD,ADA-USD"
    assert rows["PULSE_SPOOL_DIR"] == str(spool.path)
    assert rows["PULSE_SOURCE"] == "simulated"


async def test_help_names_the_exit_statuses(start_process: Start) -> None:
    """An operator finds them without the code."""
    process = await start_process("--help")
    text = await output(process)
    assert process.child.returncode == 0
    assert "exit status" in text
    assert "--check" in text


async def test_reconnects_after_every_connection_is_closed(
    exchange: Exchange, start_process: Start, spool: SpoolView
) -> None:
    """A deploy of the exchange, seen by the real process: attempts at least a second apart, nothing lost."""
    exchange.handler = playing(match_frame(1))
    process = await start_process()
    await process.until(lambda status: status["messages_total"] == 2)
    await exchange.connections[0].close(1012, "service restart")
    await process.until(lambda status: status["messages_total"] == 4)
    await process.end(signal.SIGTERM)
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    assert control(lines, "pulse_disconnected")[0]["code"] == 1012
    await eventually(lambda: len(exchange.connected_at) == 2)
    # The server sees an attempt somewhat later than it was made, the first one more so.
    assert exchange.connected_at[1] - exchange.connected_at[0] > 0.9
