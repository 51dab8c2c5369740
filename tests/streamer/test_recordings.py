"""Real traffic through the streamer. Collected where recordings lie (PULSE_RECORDINGS)."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from tests.streamer.support.exchange import Exchange
from tests.streamer.support.recordings import RECORDINGS
from tests.streamer.support.running import Running
from tests.streamer.support.spool_view import SpoolView, frames

Run = Callable[..., AbstractAsyncContextManager[Running]]


def _recorded_frames(path: Path) -> list[bytes]:
    """The received frames of a recording: NDJSON, or `epoch: frame` lines between others."""
    rows = path.read_bytes().splitlines()
    if path.suffix == ".ndjson":
        return rows
    return [row.split(b": ", 1)[1] for row in rows if row[:1].isdigit()]


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("exchange_*")), ids=lambda path: path.stem)
async def test_recorded_traffic_is_stored_byte_for_byte(
    exchange: Exchange, running: Run, spool: SpoolView, path: Path
) -> None:
    """Real traffic, level 2 snapshots over 1 MB included, comes out as it went in."""
    recorded = _recorded_frames(path)

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.subscription(connection)
        for frame in recorded:
            await exchange.send(connection, frame)
        await connection.wait_closed()

    exchange.handler = play
    async with running() as run:
        await run.messages(len(recorded))
    lines = spool.seal()
    assert frames(lines) == recorded
    assert [line.type for line in lines if line.frame is not None] == [json.loads(frame)["type"] for frame in recorded]
