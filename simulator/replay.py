"""A recording served as if it came from the exchange: every frame verbatim, in its order, none made up."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from simulator import recording
from simulator.catalogue import Product
from simulator.connection import Connection
from simulator.frames import Frame, Print
from simulator.hub import Hub
from simulator.recorded_market import RecordedMarket
from simulator.replay_pace import Pace

#: Frames handed over before waiting for readers to take them.
_BATCH = 100


class _Subscribe(msgspec.Struct, tag_field="type", tag="subscribe"):
    pass


class Replay:
    """Source that serves one recording, once.

    The position belongs to the process: it moves while at least one client is subscribed, every frame goes to all
    subscribed clients, and a client that comes back gets the next frame not sent yet. What a subscription asked for
    is ignored. After the last frame the connections stay open and silent.
    """

    def __init__(self, path: Path, speed: float | None, market: RecordedMarket, hub: Hub) -> None:
        """`speed` 1 keeps the recorded distances in time, 10 divides them by ten, None does not wait."""
        self._path = path
        self._is_paced = speed is not None
        self._pace = Pace(speed)
        self._market = market
        self._hub = hub
        self._frames_replayed = 0
        self._finished = False

    @property
    def products(self) -> Mapping[str, Product]:
        """Every product the recording mentions."""
        return self._market.products

    def latest(self, product_id: str) -> Print | None:
        """The recording's newest trade of a product, wherever the replay stands."""
        return self._market.latest.get(product_id)

    def status(self) -> dict[str, Any]:
        """`trades` counts the distinct trades of the whole recording, `frames_replayed` how far the replay is."""
        return {
            "mode": "replay",
            "trades": self._market.trades,
            "finished": self._finished,
            "frames_replayed": self._frames_replayed,
            "replay_file": str(self._path),
        }

    def receive(self, connection: Connection, message: str | bytes) -> None:
        """Any subscribe message starts the replay for this client.

        Nothing else is answered, so that nothing is made up.
        """
        try:
            msgspec.json.decode(message, type=_Subscribe)
        except msgspec.DecodeError:
            return
        self._hub.mark_subscribed(connection)

    async def run(self) -> None:
        """Serve the recording, then stay."""
        for batch in self._paced(recording.read_recording(self._path)):
            await self._send(batch)
        self._finished = True
        await asyncio.get_running_loop().create_future()

    def _paced(self, recorded: Iterator[recording.Frame]) -> Iterator[list[recording.Frame]]:
        """Batches of frames to be sent at one moment.

        Without waiting a hundred, else those received at the same time.
        """
        batch: list[recording.Frame] = []
        for frame in recorded:
            if batch and (len(batch) >= _BATCH or (self._is_paced and frame.at != batch[0].at)):
                yield batch
                batch = []
            batch.append(frame)
        if batch:
            yield batch

    async def _send(self, batch: list[recording.Frame]) -> None:
        frames = [Frame(("", ""), "", None, frame.text.encode()) for frame in batch]
        while True:
            if not self._hub.subscribed():
                self._pace.pause()
                await self._hub.wait_for_subscriber()
            await self._pace.wait(batch[0].at)
            if connections := self._hub.subscribed():
                break
        for connection in connections:
            connection.send(frames)
        self._frames_replayed += len(frames)
        for connection in connections:
            await connection.drain()
