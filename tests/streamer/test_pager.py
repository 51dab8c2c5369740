"""The streamer pages by itself, and never at the cost of capture."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from include.config import AlertConfig, PagerConfig, PipelineConfig, Source, load
from include.pipeline.sealing import seal_segments
from include.spool import Spool, State
from streamer.pager import PagerSettings
from tests.alerting.receivers import Receivers
from tests.streamer.support.exchange import Exchange, heartbeat_frame, match_frame, playing
from tests.streamer.support.flaky_disk import FlakyDisk
from tests.streamer.support.running import Running
from tests.streamer.support.waiting import eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]

STREAMER = "streamer/streamer-1"


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """All channels, on this machine."""
    with Receivers() as receivers:
        yield receivers


@pytest.fixture
def pager(receivers: Receivers, tmp_path: Path) -> Callable[..., PagerSettings]:
    """A pager that looks every second; keywords change its limits, `environ` other settings of the alerts."""

    def make(environ: dict[str, str] | None = None, **limits: int) -> PagerSettings:
        alerts = load(AlertConfig, {"PULSE_HOME": str(tmp_path), **receivers.settings(), **(environ or {})})
        return PagerSettings(PagerConfig(pager_interval_seconds=1, **limits), alerts)

    return make


class FullDisk(FlakyDisk):
    """A disk without space: what is written goes to the kernel's device that is always full."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    def write(self, lines: bytes | bytearray) -> None:
        if self.is_full:
            with Path("/dev/full").open("wb", buffering=0) as device:
                device.write(lines)
        super().write(lines)


def told(receivers: Receivers) -> list[tuple[str, str]]:
    """(kind, alert) of every message."""
    return [(each.body["kind"], each.body["alert"]) for each in receivers.webhooks(scope=STREAMER)]


async def test_a_feed_that_falls_silent_is_told_of_and_its_return_too(
    exchange: Exchange, running: Run, receivers: Receivers, pager: Callable[..., PagerSettings]
) -> None:
    """Also on an open socket. What is left missing is said with the recovery; all channels get both."""
    exchange.handler = playing(match_frame(1), heartbeat_frame(1))
    async with running(pager=pager(pager_silent_seconds=1), heartbeat_timeout_seconds=60) as run:
        await eventually(lambda: told(receivers) == [("opened", "feed_silent")])
        assert run.streamer.status.connected, "the socket is open all the time"

        trade_id = 1
        while ("recovered", "feed_silent") not in told(receivers):
            trade_id += 1
            await exchange.send(exchange.connections[-1], match_frame(trade_id))
            await eventually(lambda wanted=trade_id: run.streamer.status.traffic.messages >= wanted)  # type: ignore[misc]
            await asyncio.sleep(0.05)

    opened, recovered = receivers.webhooks()
    assert "the connection is open, and nothing comes" in opened.body["details"]["Cause"]
    assert "missing until they are fetched again" in recovered.body["details"]["Remains"]
    assert [each.body["event_action"] for each in receivers.received["pagerduty"]] == ["trigger", "resolve"]
    assert (len(receivers.received["slack"]), len(receivers.mails())) == (2, 2)


async def test_a_full_disk_is_told_of_and_not_taken_for_a_silent_feed(
    exchange: Exchange, running: Run, receivers: Receivers, pager: Callable[..., PagerSettings]
) -> None:
    """The kernel says ENOSPC to every write: one incident, over when the disk takes lines again."""
    disk = FullDisk()
    exchange.handler = playing(match_frame(1))
    settings = pager(pager_disk_seconds=1, pager_silent_seconds=1)
    async with running(segments=disk, pager=settings, heartbeat_timeout_seconds=60):
        await eventually(lambda: ("opened", "disk_failing") in told(receivers))
        assert "No space left on device" in receivers.webhooks()[0].body["details"]["Cause"]
        assert ("opened", "feed_silent") not in told(receivers)
        disk.is_full = False
        await eventually(lambda: ("recovered", "disk_failing") in told(receivers))


async def test_segments_that_nobody_seals_and_then_nobody_loads(
    exchange: Exchange, running: Run, receivers: Receivers, pager: Callable[..., PagerSettings], tmp_path: Path
) -> None:
    """Airflow is away: told of once. A sealer comes, and nobody loads: that is the next incident."""
    exchange.handler = playing(match_frame(1), heartbeat_frame(1))
    settings = pager(pager_unsealed_seconds=1, pager_unloaded_seconds=2)
    async with running(pager=settings, heartbeat_timeout_seconds=60) as run:
        await eventually(lambda: told(receivers) == [("opened", "segments_unsealed")])
        message = receivers.webhooks()[0].body
        assert "waits for" in message["details"]["Cause"]
        assert message["command"] == "make status"

        spool = Spool.open(run.config.resolved_spool_dir(), Source.SIMULATED, create=False)
        seal_segments(spool, PipelineConfig(seal_processes=1))
        await eventually(lambda: ("recovered", "segments_unsealed") in told(receivers))
        await eventually(lambda: ("opened", "segments_unloaded") in told(receivers))
        for name in spool.segments(State.SEALED):
            spool.mark_loaded(name)
        await eventually(lambda: ("recovered", "segments_unloaded") in told(receivers))


async def test_a_full_spool_is_told_of(
    exchange: Exchange, running: Run, receivers: Receivers, pager: Callable[..., PagerSettings]
) -> None:
    """The budget is used up: capture has stopped, and says so itself."""
    exchange.handler = playing(match_frame(1))
    async with running(pager=pager(), spool_max_bytes=1024 * 1024) as run:
        spool = Spool.open(run.config.resolved_spool_dir(), Source.SIMULATED, create=False)
        leftover = spool.folder(State.QUARANTINED) / "streamer-9.20260101T000000Z-00000000.000001.v1.ndjson"
        leftover.write_bytes(b"x" * 2 * 1024 * 1024)
        await eventually(lambda: ("opened", "spool_full") in told(receivers))
        assert ("opened", "feed_silent") not in told(receivers)
        leftover.unlink()
        await eventually(lambda: ("recovered", "spool_full") in told(receivers))


async def test_a_receiver_that_hangs_does_not_touch_capture(
    exchange: Exchange, running: Run, receivers: Receivers, pager: Callable[..., PagerSettings]
) -> None:
    """While Slack takes a connection and says nothing, records become durable as ever, and the others are told."""
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen()
        environ = {
            "PULSE_ALERT_SLACK_URL": f"http://127.0.0.1:{hung.getsockname()[1]}/x",
            "PULSE_ALERT_TIMEOUT_SECONDS": "3",
        }
        exchange.handler = playing(match_frame(1))
        settings = pager(environ, pager_unsealed_seconds=1)
        async with running(pager=settings, heartbeat_timeout_seconds=60) as run:
            await eventually(lambda: ("opened", "segments_unsealed") in told(receivers))
            for trade_id in range(2, 200):
                await exchange.send(exchange.connections[-1], match_frame(trade_id))
            await run.messages(200)
            assert run.streamer.status.writer.durable_lag_seconds < 1
            assert receivers.received["slack"] == []


async def test_a_pager_that_breaks_breaks_alone(
    exchange: Exchange,
    running: Run,
    pager: Callable[..., PagerSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug in it is logged, it tries again, and capture goes on."""
    looks = 0

    def broken(self: object) -> Any:
        nonlocal looks
        looks += 1
        raise RuntimeError("a bug")

    monkeypatch.setattr("streamer.backlog.Backlog.look", broken)
    exchange.handler = playing(match_frame(1))
    async with running(pager=pager(), heartbeat_timeout_seconds=60) as run:
        await eventually(lambda: looks >= 2)
        await exchange.send(exchange.connections[-1], match_frame(2))
        await run.messages(3)


async def test_the_end_of_a_recording_is_no_silent_feed(
    exchange: Exchange, running: Run, receivers: Receivers, pager: Callable[..., PagerSettings]
) -> None:
    """A replay ends; the rest is watched as ever."""
    exchange.handler = playing(match_frame(1))
    settings = pager(pager_silent_seconds=1, pager_unsealed_seconds=2)
    async with running(pager=settings, source=Source.REPLAY, heartbeat_timeout_seconds=60):
        await eventually(lambda: ("opened", "segments_unsealed") in told(receivers))
        assert ("opened", "feed_silent") not in told(receivers)


async def test_without_an_address_nobody_looks(
    exchange: Exchange, running: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No channel, no work, and no folder for alerts."""
    settings = PagerSettings(PagerConfig(pager_interval_seconds=1), load(AlertConfig, {"PULSE_HOME": str(tmp_path)}))
    exchange.handler = playing(match_frame(1))
    async with running(pager=settings) as run:
        await run.messages(2)
        await eventually(lambda: all(task.get_name() != "pager" for task in asyncio.all_tasks()))
    assert not (tmp_path / "alerts").exists()
