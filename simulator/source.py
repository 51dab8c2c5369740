"""What the feed and REST need to know of whoever makes the trades: the made-up market or a recording."""

from collections.abc import Mapping
from typing import Any, Protocol

from simulator.catalogue import Product
from simulator.connection import Connection
from simulator.frames import Print


class Source(Protocol):
    """A market, made up or recorded."""

    @property
    def products(self) -> Mapping[str, Product]:
        """Every product, by id."""

    def latest(self, product_id: str) -> Print | None:
        """The newest trade told to clients; None before the first."""

    def receive(self, connection: Connection, message: str | bytes) -> None:
        """Answer one message of a client."""

    def status(self) -> dict[str, Any]:
        """Members of `/status` that only this source knows, `mode` and `trades` among them."""

    async def run(self) -> None:
        """Trade until cancelled."""
