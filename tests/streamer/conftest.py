"""Fixtures: a fake exchange, a spool, and the streamer between them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from include.config import Source, StreamerConfig, TransportName
from include.spool import Spool
from streamer.app import Streamer
from streamer.connection import ConnectionRate
from streamer.pager import PagerSettings
from streamer.transports import Transport
from streamer.writer import Segments
from tests.simulator.running import Process as SimulatorProcess
from tests.simulator.running import Simulator
from tests.streamer.support.exchange import Exchange
from tests.streamer.support.recordings import RECORDINGS
from tests.streamer.support.running import Process, Running, environment, unused_port
from tests.streamer.support.spool_view import SpoolView

REPOSITORY = Path(__file__).parents[2]

collect_ignore = [] if any(RECORDINGS.glob("exchange_*")) else ["test_recordings.py"]


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """An exchange that grants everything and says nothing, until a test gives it a handler."""
    async with Exchange().open() as exchange:
        yield exchange


@pytest.fixture
def spool(tmp_path: Path) -> SpoolView:
    """The spool of the streamer under test."""
    return SpoolView(tmp_path / "spool")


@pytest.fixture
def transport_name() -> TransportName:
    """The library of the streamer under test. A module that overrides this with parameters runs on several."""
    return TransportName.WEBSOCKETS


@pytest.fixture
def configure(exchange: Exchange, spool: SpoolView, transport_name: TransportName) -> Callable[..., StreamerConfig]:
    """Makes a config for the exchange and spool of the test; keywords change fields."""

    def make(**fields: Any) -> StreamerConfig:
        defaults: dict[str, Any] = {
            "feed_url": exchange.url,
            "source": Source.SIMULATED,
            "spool_dir": spool.path,
            "streamer_port": unused_port(),
            "transport": transport_name,
            "products": ("BTC-USD", "ETH-USD"),
            "channels": ("matches", "heartbeat"),
            "flush_interval_ms": 5,
            "commit_interval_ms": 10,
            "backoff_max_seconds": 1,
        }
        return StreamerConfig(**defaults | fields)

    return make


@pytest.fixture
def running(
    configure: Callable[..., StreamerConfig],
) -> Callable[..., AbstractAsyncContextManager[Running]]:
    """Runs a streamer while the block runs, then stops it in order."""

    @asynccontextmanager
    async def run(
        *,
        transport: Transport | None = None,
        segments: Segments | None = None,
        rate: ConnectionRate | None = None,
        pager: PagerSettings | None = None,
        **fields: Any,
    ) -> AsyncIterator[Running]:
        config = configure(**{"backoff_max_seconds": 0.01} | fields)
        spool = Spool.open(config.resolved_spool_dir(), config.resolved_source().value, create=True)
        stop = asyncio.Event()
        streamer = Streamer(
            config, spool, transport=transport, segments=segments, rate=rate or ConnectionRate(0.01), pager=pager
        )
        task = asyncio.create_task(streamer.run(stop))
        running = Running(streamer, stop, task, config)
        try:
            yield running
        finally:
            await running.finish()

    return run


@pytest.fixture
async def start_simulator(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Simulator]]]:
    """Starts the simulator as a process that keeps what it sent; without trades but those a test makes."""
    async with AsyncExitStack() as stack:

        async def start(**settings: object) -> Simulator:
            process = SimulatorProcess(tmp_path / "simulator", simulator_record_sent="true", **settings).start()
            stack.callback(process.kill)
            simulator = Simulator(process)
            await stack.enter_async_context(simulator.session)
            return await simulator.ready()

        yield start


@pytest.fixture
async def start_process(configure: Callable[..., StreamerConfig]) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Starts `python -m streamer`; what is left at the end is killed."""
    children = []

    async def start(*arguments: str, env: dict[str, str] | None = None, **fields: Any) -> Process:
        config = configure(**fields)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streamer",
            *arguments,
            cwd=REPOSITORY,
            env=environment(config) | (env or {}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        children.append(child)
        return Process(child, config)

    yield start
    for child in children:
        if child.returncode is None:
            child.kill()
        await child.communicate()
