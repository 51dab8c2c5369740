"""A real WebSocket server that plays the exchange."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Handler = Callable[["Exchange", ServerConnection], Awaitable[None]]


def match_frame(trade_id: int, product_id: str = "BTC-USD") -> bytes:
    """A trade as the exchange sends it."""
    return (
        b'{"type":"match","trade_id":%d,"maker_order_id":"6b380eba-fd1d-43a8-91a0-fdb06e6ce87f",'
        b'"taker_order_id":"b3639a38-ae66-493c-96ba-d2319e503590","side":"buy","size":"0.16908161","price":"1774.92",'
        b'"product_id":"%b","sequence":%d,"time":"2026-07-07T22:58:16.156605Z"}'
        % (trade_id, product_id.encode(), 100_000 + trade_id)
    )


def heartbeat_frame(last_trade_id: int, product_id: str = "BTC-USD") -> bytes:
    """A heartbeat as the exchange sends it."""
    return (
        b'{"type":"heartbeat","last_trade_id":%d,"product_id":"%b","sequence":%d,"time":"2026-07-07T22:58:17.000000Z"}'
        % (last_trade_id, product_id.encode(), 100_000 + last_trade_id)
    )


class Exchange:
    """Plays the exchange. Every connection is handed to `handler`; every frame sent is noted, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.handler: Handler = acknowledge_and_wait
        self.refusals: list[int] = []
        """HTTP statuses to answer the next handshakes with, in order."""
        self.requests: list[Request] = []
        self.subscriptions: list[dict[str, Any]] = []
        self.connections: list[ServerConnection] = []
        self.connected_at: list[float] = []
        self.sent: list[bytes] = []
        """Every frame sent, over all connections."""
        self.sent_by: list[list[bytes]] = []
        """The same, by connection."""

    async def send(self, connection: ServerConnection, frame: bytes) -> None:
        """Send a text frame and note it."""
        await connection.send(frame, text=True)
        self.sent.append(frame)
        self.sent_by[self.connections.index(connection)].append(frame)

    async def subscription(self, connection: ServerConnection) -> dict[str, Any]:
        """Wait for the subscribe message."""
        message: dict[str, Any] = json.loads(await connection.recv())
        self.subscriptions.append(message)
        return message

    async def acknowledge(self, connection: ServerConnection, **granted: list[str]) -> dict[str, Any]:
        """Wait for the subscribe message and grant all of it, or what is given; the message."""
        message = await self.subscription(connection)
        channels = granted or dict.fromkeys(message["channels"], message["product_ids"])
        rows = [{"name": name, "product_ids": ids, "account_ids": None} for name, ids in channels.items()]
        await self.send(connection, msgspec.json.encode({"type": "subscriptions", "channels": rows}))
        return message

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        self.connected_at.append(asyncio.get_running_loop().time())
        if self.refusals:
            return connection.respond(self.refusals.pop(0), "no\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        self.sent_by.append([])
        with suppress(ConnectionClosed):
            await self.handler(self, connection)

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator["Exchange"]:
        """Listen while the block runs."""
        async with serve(
            self._serve, "127.0.0.1", port, process_request=self._process_request, max_size=None
        ) as server:
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
            for connection in self.connections:
                connection.transport.abort()


async def acknowledge_and_wait(exchange: Exchange, connection: ServerConnection) -> None:
    """Grant everything, then be silent."""
    await exchange.acknowledge(connection)
    await connection.wait_closed()


def playing(*frames: bytes) -> Handler:
    """Grant everything, send the frames, then be silent."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        for frame in frames:
            await exchange.send(connection, frame)
        await connection.wait_closed()

    return play
