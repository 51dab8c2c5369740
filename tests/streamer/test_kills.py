"""kill -9 of the real streamer at random moments, counted against what the real simulator sent."""

import asyncio
import hashlib
import random
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from include.spool import SealKind, Spool, State, seal_all
from tests.simulator.running import Simulator
from tests.streamer.support.running import Process
from tests.streamer.support.simulating import sent_since
from tests.streamer.support.spool_view import SpoolView, frames

Start = Callable[..., Awaitable[Process]]

SEED = 20260707
KILLS = 52
#: Products by streamer id: what a connection was sent says whose it was.
STREAMERS = {"left": "BTC-USD", "right": "ETH-USD"}
TRADES_A_SECOND = 1500
SEGMENT_BYTES = 150_000


@dataclass
class Sealer:
    """Rotates and seals again and again."""

    spool: Spool
    stop: threading.Event = field(default_factory=threading.Event)
    sealed: int = 0
    """Segments sealed so far."""

    def run(self) -> None:
        while not self.stop.wait(0.05):
            self.sealed += len(seal_all(self.spool, timeout_seconds=5.0).of(SealKind.SEALED))


@dataclass
class Killing:
    """One streamer id, killed again and again; what each session had called durable."""

    streamer_id: str
    chance: random.Random
    durable: dict[str, int] = field(default_factory=dict)
    rotated: int = 0
    """Kills while the sealer waited for the lock."""

    async def run(self, start: Start, spool: SpoolView, url: str, kills: int) -> None:
        for _ in range(kills):
            process = await start(
                feed_url=url,
                streamer_id=self.streamer_id,
                products=(STREAMERS[self.streamer_id],),
                channels=("matches", "ticker", "heartbeat"),
                segment_max_bytes=SEGMENT_BYTES,
                flush_interval_ms=20,
                commit_interval_ms=40,
            )
            enough = self.chance.choice([0, 1, self.chance.randrange(1_500)])
            status = await process.until(lambda status, enough=enough: status["durable_record_no"] >= enough)  # type: ignore[misc]
            if self.chance.random() < 0.3:
                # The writer has not noticed yet: the sealer has the file's new name and waits for its lock.
                self.rotated += bool(await asyncio.to_thread(spool.open().rotate_all))
            await process.end(signal.SIGKILL)
            self.durable[status["session_id"]] = status["durable_record_no"]


@asynccontextmanager
async def sealing(spool: Spool) -> AsyncIterator[Sealer]:
    """Run a sealer while the block runs."""
    sealer = Sealer(spool)
    task = asyncio.create_task(asyncio.to_thread(sealer.run))
    try:
        yield sealer
    finally:
        sealer.stop.set()
        await task


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_fifty_kills_at_full_rate_leave_prefixes_of_what_was_sent(
    start_simulator: Callable[..., Awaitable[Simulator]], start_process: Start, spool: SpoolView
) -> None:
    """Of every connection the spool holds the first frames that were sent, in order, once and byte for byte: at least
    those that the process had called durable."""
    print(f"seed {SEED}")
    killings = [Killing(streamer_id, random.Random(f"{SEED} {streamer_id}")) for streamer_id in STREAMERS]
    kills = KILLS // len(STREAMERS)
    simulator = await start_simulator(simulator_rate=TRADES_A_SECOND, simulator_products=",".join(STREAMERS.values()))
    async with sealing(Spool.open(spool.path, "simulated", create=True)) as sealer, asyncio.TaskGroup() as tasks:
        for killing in killings:
            tasks.create_task(killing.run(start_process, spool, simulator.feed_url, kills))
    sent = await sent_since(simulator, 0)
    lines = spool.seal()

    stored = 0
    for killing in killings:
        product = f'"{STREAMERS[killing.streamer_id]}"'.encode()
        connections = iter([frames for frames in sent if frames and product in frames[0]])
        for session_id, durable in killing.durable.items():
            session = [line for line in lines if line.session_id == session_id]
            found = frames(session)
            assert len(session) >= durable
            assert {line.connection_no for line in session} <= {0, 1}
            # A session that was killed early may have made no connection, or stored nothing of it.
            assert not found or any(sent[: len(found)] == found for sent in connections)
            stored += len(found)
    segments = spool.open()
    for name in segments.segments(State.SEALED):
        content = segments.path(name, State.SEALED).read_bytes()
        assert hashlib.sha256(content).hexdigest() == segments.manifest(name, State.SEALED).sha256
    assert sum(len(killing.durable) for killing in killings) == KILLS
    assert any(killing.rotated for killing in killings)
    assert sealer.sealed > KILLS
    assert stored > 10_000
