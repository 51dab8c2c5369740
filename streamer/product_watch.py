"""Following the exchange's listings."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from include.coinbase import Product
from include.coinbase.rest import RestClient, RestError
from include.config import StreamerConfig
from streamer.connection import backoff
from streamer.products import ProductChange, ProductsStatus, resolve
from streamer.transports.protocol import USER_AGENT

log = logging.getLogger(__name__)


class ProductWatch:
    """Resolves the rules of PULSE_PRODUCTS at the start and again and again."""

    def __init__(
        self, config: StreamerConfig, status: ProductsStatus, on_change: Callable[[ProductChange], None]
    ) -> None:
        """`on_change` is told the first result, and every other one. `status` is kept up to date."""
        self._config = config
        self._status = status
        self._on_change = on_change

    async def run(self) -> None:
        """Run until cancelled. A listing that cannot be had changes nothing and is asked for again soon."""
        config = self._config
        # One attempt: its failure is to be seen at once, and the waits are ours.
        async with RestClient(
            config.rest_url, user_agent=USER_AGENT, attempts=1, timeout_seconds=config.connect_timeout_seconds
        ) as client:
            waits = backoff(config.backoff_max_seconds)
            while True:
                try:
                    listed = await client.products()
                except RestError as error:
                    self._status.last_error = str(error)
                    log.warning("the products cannot be resolved", extra={"error": str(error)})
                    await asyncio.sleep(next(waits))
                else:
                    self._listed(listed)
                    waits = backoff(config.backoff_max_seconds)
                    await asyncio.sleep(config.products_refresh_seconds)

    def _listed(self, listed: Iterable[Product]) -> None:
        status = self._status
        products, before = resolve(self._config, listed), status.products
        first = status.pending
        status.last_error = ""
        status.resolved_at_us = time.time_ns() // 1000
        if not first and set(products) == set(before):
            return
        status.products = products
        change = ProductChange(
            status.rules,
            products,
            added=tuple(sorted(set(products) - set(before))),
            removed=tuple(sorted(set(before) - set(products))),
        )
        log.info(
            "products resolved",
            extra={"products": len(products), "added": len(change.added), "removed": len(change.removed)},
        )
        self._on_change(change)
