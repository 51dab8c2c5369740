"""What the streamer tells over HTTP."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from errno import ENOSPC

import pytest
from websockets.asyncio.server import ServerConnection

from include.config import ConfigError, StreamerConfig
from include.spool import Spool
from streamer.app import Streamer
from tests.streamer.support.exchange import Exchange, heartbeat_frame, match_frame, playing
from tests.streamer.support.flaky_disk import FlakyDisk
from tests.streamer.support.running import Running
from tests.streamer.support.waiting import eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]


def sample(metrics: str, name: str) -> float:
    """The value of one sample, labels included in its name."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics, re.MULTILINE)
    assert found, f"{name} is not among:\n{metrics}"
    return float(found[1])


async def test_health_does_not_depend_on_the_feed(running: Run) -> None:
    """A restart would not bring an exchange back: without one the process is live, but not ready."""
    async with running(feed_url="ws://127.0.0.1:1") as run:
        await eventually(lambda: run.streamer.status.last_error)
        assert (await run.get("/healthz"))[0] == 200
        status, body = await run.get("/readyz")
        assert status == 503
        assert json.loads(body)["ready"] is False
        assert json.loads(body)["reasons"][0].startswith("not connected to the feed: network")


async def test_ready_when_frames_reach_the_disk(exchange: Exchange, running: Run) -> None:
    """Connected, fresh and writable."""
    exchange.handler = playing(match_frame(1))
    async with running() as run:
        await run.messages(2)
        assert await run.get("/readyz") == (200, '{"ready":true,"reasons":[]}')


async def test_connection_without_a_frame_is_not_ready(exchange: Exchange, running: Run) -> None:
    """Being connected is not enough."""

    async def mute(exchange: Exchange, connection: ServerConnection) -> None:
        await connection.wait_closed()

    exchange.handler = mute
    async with running() as run:
        await eventually(lambda: run.streamer.status.connected)
        assert (await run.get_json("/readyz"))["reasons"] == ["no frame received yet"]


async def test_old_data_are_not_ready(exchange: Exchange, running: Run) -> None:
    """Readiness falls when frames stop, before or after the watchdog acts."""
    exchange.handler = playing(match_frame(1))
    async with running(heartbeat_timeout_seconds=0.2) as run:
        await run.messages(2)
        run.streamer.status.feeds[0].last_frame_us -= 10_000_000
        assert (await run.get_json("/readyz"))["reasons"] == ["data are not fresh: the last frame came 10 s ago"]


async def test_full_disk_is_not_ready_until_it_is_mended(exchange: Exchange, running: Run) -> None:
    """The reason names the error; metric and status agree; afterwards all is well by itself."""
    disk = FlakyDisk()
    disk.errors["write"] = OSError(ENOSPC, "No space left on device")
    exchange.handler = playing(match_frame(1))
    async with running(segments=disk) as run:
        await eventually(lambda: run.streamer.status.traffic.messages == 2 and run.streamer.status.writer.failure)
        assert "No space left on device" in (await run.get_json("/readyz"))["reasons"][0]
        assert (await run.get_json("/status"))["state"] == "disk_failing"
        _, metrics = await run.get("/metrics")
        assert sample(metrics, "pulse_streamer_disk_writable") == 0
        assert sample(metrics, "pulse_streamer_buffer_bytes") > 0
        assert sample(metrics, "pulse_streamer_durable_lag_seconds") > 0
        disk.errors.clear()
        await run.messages(2)
        await run.eventually_ready()
        _, metrics = await run.get("/metrics")
        assert sample(metrics, "pulse_streamer_disk_writable") == 1


async def test_status_has_what_the_view_shows(exchange: Exchange, running: Run) -> None:
    """The fields, and what they say after one trade."""
    exchange.handler = playing(match_frame(1))
    async with running() as run:
        await run.messages(2)
        status = await run.get_json("/status")
    last_frame_at = status.pop("last_frame_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", last_frame_at)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", status.pop("session_id"))
    assert status.pop("messages_per_second") >= 0
    assert status == {
        "state": "streaming",
        "connected": True,
        "messages_total": 2,
        "durable_record_no": 5,
        "refused": [],
        "last_error": "",
        "products": {"rules": [], "count": 2, "resolved_at": None, "last_error": ""},
        "connections": [
            {
                "shard": 1,
                "replica": 1,
                "connection_no": 1,
                "state": "streaming",
                "products": 2,
                "last_error": "",
                "last_frame_at": last_frame_at,
            }
        ],
    }


async def test_metrics_count_by_type_and_product(exchange: Exchange, running: Run) -> None:
    """Messages, bytes, malformed frames, commits, the connection and the spool have their samples."""
    frame = match_frame(1)
    exchange.handler = playing(frame, frame, heartbeat_frame(1, "ETH-USD"), b"{torn")
    async with running() as run:
        await run.messages(5)
        _, metrics = await run.get("/metrics")
        assert sample(metrics, 'pulse_streamer_messages_total{product="BTC-USD",type="match"}') == 2
        assert sample(metrics, 'pulse_streamer_received_bytes_total{product="BTC-USD",type="match"}') == 2 * len(frame)
        assert sample(metrics, 'pulse_streamer_messages_total{product="ETH-USD",type="heartbeat"}') == 1
        assert sample(metrics, 'pulse_streamer_messages_total{product="",type="subscriptions"}') == 1
        assert sample(metrics, "pulse_streamer_malformed_total") == 1
        assert sample(metrics, "pulse_streamer_connected") == 1
        assert sample(metrics, "pulse_streamer_commit_seconds_count") >= 1
        assert sample(metrics, "pulse_streamer_durable_lag_seconds") == 0
        assert sample(metrics, "pulse_streamer_buffer_bytes") == 0
        assert sample(metrics, "pulse_streamer_durable_record_no") == 8
        assert sample(metrics, "pulse_streamer_last_frame_timestamp_seconds") > 1.7e9
        assert sample(metrics, 'pulse_streamer_spool_bytes{state="archived"}') == 0


async def test_labels_do_not_grow_with_what_the_feed_sends(exchange: Exchange, running: Run) -> None:
    """Types and products nobody configured share one label each."""
    exchange.handler = playing(
        *(b'{"type":"new%d","product_id":"X%d-USD"}' % (number, number) for number in range(50)),
        match_frame(1, "DOGE-USD"),
    )
    async with running() as run:
        await run.messages(52)
        _, metrics = await run.get("/metrics")
    assert sample(metrics, 'pulse_streamer_messages_total{product="other",type="other"}') == 50
    assert sample(metrics, 'pulse_streamer_messages_total{product="other",type="match"}') == 1
    assert len(re.findall(r"^pulse_streamer_messages_total", metrics, re.MULTILINE)) == 3


async def test_taken_port_is_named(exchange: Exchange, running: Run, configure: Callable[..., StreamerConfig]) -> None:
    """The error says which variable to change, and nothing is captured."""
    exchange.handler = playing(match_frame(1))
    async with running() as run:
        await run.eventually_ready()
        config = configure(streamer_port=run.config.streamer_port, streamer_id="streamer-2")
        spool = Spool.open(config.resolved_spool_dir(), config.resolved_source().value, create=False)
        with pytest.raises(ConfigError, match=f"PULSE_STREAMER_PORT={config.streamer_port}"):
            await Streamer(config, spool).run(asyncio.Event())
        assert len(exchange.connections) == 1
