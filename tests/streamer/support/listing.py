"""A real HTTP server that plays the exchange's REST API."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web


def listed(product_id: str, **members: object) -> dict[str, Any]:
    """One row of GET /products, as the exchange writes it."""
    base, _, quote = product_id.partition("-")
    row: dict[str, Any] = {
        "id": product_id,
        "base_currency": base,
        "quote_currency": quote,
        "quote_increment": "0.01",
        "base_increment": "0.00000001",
        "display_name": f"{base}/{quote}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online",
        "status_message": "",
        "trading_disabled": False,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }
    return row | members


class Answer(NamedTuple):
    """An answer that is not the listing."""

    status: int
    body: bytes = b'{"message":"no"}'
    headers: dict[str, str] = {}  # noqa: RUF012


class Listing:
    """Serves GET /products: whatever `products` holds at that moment, or the next of `answers`."""

    def __init__(self, products: Iterable[str] = ()) -> None:
        self.products = [listed(product) for product in products]
        self.answers: list[Answer] = []
        self.requests: list[web.Request] = []
        self.requested_at: list[float] = []
        self.url = ""

    def list(self, *products: str) -> None:
        """List these from now on."""
        self.products = [listed(product) for product in products]

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.requested_at.append(asyncio.get_running_loop().time())
        if self.answers:
            status, body, headers = self.answers.pop(0)
            return web.Response(status=status, body=body, headers=headers)
        return web.json_response(self.products)

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator["Listing"]:
        """Listen while the block runs."""
        app = web.Application()
        app.router.add_get("/products", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()
