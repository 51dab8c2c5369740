"""Fixtures: simulators and clients that are cleaned up, and the recordings of real traffic if this machine has them."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.simulator.running import REPOSITORY, UNLIMITED, Client, Process, Simulator, connected

RECORDINGS = Path(os.environ.get("PULSE_RECORDINGS", REPOSITORY.parent / "shared" / "recordings"))

StartSimulator = Callable[..., Awaitable[Simulator]]
Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def start_simulator(tmp_path: Path) -> AsyncIterator[StartSimulator]:
    """Start simulators; by default no trades but the opening ones and those of bursts."""
    async with AsyncExitStack() as stack:

        async def start(folder: Path = tmp_path / "simulator", **settings: object) -> Simulator:
            process = Process(folder, **settings).start()
            stack.callback(end, process)
            simulator = Simulator(process)
            stack.push_async_callback(simulator.session.close)
            return await simulator.ready()

        yield start


@pytest.fixture(scope="session")
def shared_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One quiet process for tests that change nothing in it."""
    process = Process(tmp_path_factory.mktemp("shared"), **UNLIMITED).start()
    yield process
    end(process)


@pytest.fixture
async def shared_simulator(shared_process: Process) -> AsyncIterator[Simulator]:
    """A quiet simulator for tests that change nothing in it."""
    simulator = Simulator(shared_process)
    async with simulator.session:
        yield await simulator.ready()


@pytest.fixture
async def simulator(start_simulator: StartSimulator) -> Simulator:
    """A quiet simulator that keeps what it sent."""
    return await start_simulator(simulator_record_sent="true")


@pytest.fixture
async def connect_to() -> AsyncIterator[Connect]:
    """Connect clients."""
    async with AsyncExitStack() as stack:

        async def connect_client(simulator: Simulator, **options: object) -> Client:
            client = await connected(simulator, **options)
            stack.push_async_callback(client.websocket.close)
            return client

        yield connect_client


def end(process: Process) -> None:
    """Leave no process behind."""
    if process.is_running:
        process.kill()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `recording` runs once for each real recording, and does not exist without them."""
    if "recording" in metafunc.fixturenames:
        paths = sorted(RECORDINGS.glob("exchange_*")) if RECORDINGS.is_dir() else []
        metafunc.parametrize("recording", paths, ids=lambda path: path.name)
