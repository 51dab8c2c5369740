"""How the real exchange treats subscriptions, as a handler of the test exchange."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection

from tests.streamer.support.exchange import Exchange, heartbeat_frame, match_frame

Topic = tuple[str, str]
"""Channel and product id."""

#: The exchange's is a second; the streamer's requests wait for a frame.
_HEARTBEAT_SECONDS = 0.02


class Market:
    """Grants what it lists, refuses the rest with an error, and keeps sending heartbeats of what is subscribed."""

    def __init__(self, *products: str) -> None:
        self.products = set(products)
        self.topics: dict[ServerConnection, set[Topic]] = {}
        """What each connection has, closed ones included."""

    async def __call__(self, exchange: Exchange, connection: ServerConnection) -> None:
        """Serve a connection."""
        topics = self.topics[connection] = set()
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    request = await exchange.subscription(connection)
            except TimeoutError:
                for channel, product_id in sorted(topics):
                    if channel == "heartbeat":
                        await exchange.send(connection, heartbeat_frame(0, product_id))
            else:
                await self._answer(exchange, connection, request)

    async def trade(self, exchange: Exchange, trade_id: int, product_id: str) -> None:
        """Send a trade to every open connection that subscribed."""
        for connection, topics in self.topics.items():
            if ("matches", product_id) in topics and not connection.transport.is_closing():
                await exchange.send(connection, match_frame(trade_id, product_id))

    def subscribed(self, exchange: Exchange) -> list[set[str]]:
        """Products of each connection that was ever opened, in the order of opening."""
        return [
            {product_id for _, product_id in self.topics.get(connection, set())} for connection in exchange.connections
        ]

    async def _answer(self, exchange: Exchange, connection: ServerConnection, request: dict[str, Any]) -> None:
        topics, asked = self.topics[connection], set(_topics(request))
        refused = sorted({product_id for _, product_id in asked if product_id not in self.products})
        granted = {(channel, product_id) for channel, product_id in asked if product_id in self.products}
        for product_id in refused:
            reason = f"{product_id} is not a valid product"
            await exchange.send(connection, _frame(type="error", message="Failed to subscribe", reason=reason))
        if request["type"] == "unsubscribe":
            topics -= asked
        else:
            topics |= granted
        if granted or request["type"] == "unsubscribe":
            await exchange.send(connection, _frame(type="subscriptions", channels=_listed(topics)))


def _topics(request: dict[str, Any]) -> Iterator[Topic]:
    for channel in request["channels"]:
        name, product_ids = (
            (channel, request["product_ids"]) if isinstance(channel, str) else (channel["name"], channel["product_ids"])
        )
        yield from ((name, product_id) for product_id in product_ids)


def _listed(topics: set[Topic]) -> list[dict[str, Any]]:
    channels: dict[str, list[str]] = {}
    for channel, product_id in sorted(topics):
        channels.setdefault(channel, []).append(product_id)
    return [{"name": name, "product_ids": ids, "account_ids": None} for name, ids in channels.items()]


def _frame(**members: object) -> bytes:
    return msgspec.json.encode(members)
