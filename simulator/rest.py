"""The exchange's public REST endpoints.

Shapes and number formats follow captured answers of api.exchange.coinbase.com.
"""

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from simulator.active_faults import ActiveFaults
from simulator.answers import answer, bad_request, integer, not_found
from simulator.catalogue import Product
from simulator.decimals import padded, places_of, trimmed
from simulator.faults import RestError
from simulator.frames import Print
from simulator.instants import SECOND, Clock, parse_rfc3339, rfc3339
from simulator.ledger_reader import Candle
from simulator.queries import Queries
from simulator.rate_limit import RateLimit
from simulator.source import Source
from simulator.trade import Trade

GRANULARITIES = (60, 300, 900, 3600, 21600, 86400)
MAX_CANDLES = 300
MAX_TRADES = 1000

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Rest:
    """Handlers of `/products…` and `/time`."""

    def __init__(self, source: Source, queries: Queries, limit: RateLimit, faults: ActiveFaults) -> None:
        self._source = source
        self._queries = queries
        self._limit = limit
        self._faults = faults
        self._clock = Clock()

    def routes(self) -> list[web.RouteDef]:
        """All of them behind the rate limit and the REST faults."""
        return [
            web.get("/time", self._guarded(self.time)),
            web.get("/products", self._guarded(self.products)),
            web.get("/products/{product_id}", self._guarded(self.product)),
            web.get("/products/{product_id}/trades", self._guarded(self.trades)),
            web.get("/products/{product_id}/candles", self._guarded(self.candles)),
            web.get("/products/{product_id}/stats", self._guarded(self.stats)),
            web.get("/products/{product_id}/ticker", self._guarded(self.ticker)),
        ]

    async def time(self, _: web.Request) -> web.Response:
        """Milliseconds, as the exchange gives them."""
        now = self._clock.now() // 1000 * 1000
        return answer(f'{{"iso":"{rfc3339(now)[:-4]}Z","epoch":{now // SECOND}.{now % SECOND // 1000:03d}}}')

    async def products(self, _: web.Request) -> web.Response:
        """All products."""
        return answer(json.dumps([_listed(product) for product in self._source.products.values()]))

    async def product(self, request: web.Request) -> web.Response:
        """One product."""
        return answer(json.dumps(_listed(self._product(request))))

    async def trades(self, request: web.Request) -> web.Response:
        """Newest first.

        `after` and `before` are exclusive bounds of the id. `cb-after` leads to the next older page.
        """
        product_id = self._product(request).product_id
        limit = integer(request, "limit", MAX_TRADES)
        if not 1 <= limit <= MAX_TRADES:
            raise bad_request(f"Invalid limit: 1 to {MAX_TRADES}")
        bounds = {}
        if "after" in request.query:
            bounds["below"] = integer(request, "after", 0)
        if "before" in request.query:
            bounds["above"] = integer(request, "before", 0)
        page = await self._queries.run(lambda reader: reader.newest(product_id, limit, **bounds))
        headers = {"cb-before": str(page[0].trade_id), "cb-after": str(page[-1].trade_id)} if page else {}
        return answer("[" + ",".join(map(_trade, page)) + "]", headers=headers)

    async def candles(self, request: web.Request) -> web.Response:
        """Newest first, both ends inclusive, at most 300; without bounds the newest 300."""
        product_id = self._product(request).product_id
        granularity = integer(request, "granularity", 60)
        if granularity not in GRANULARITIES:
            raise bad_request("Unsupported granularity")
        start, end = self._interval(request, granularity)
        candles = await self._queries.run(
            lambda reader: list(reader.candles(product_id, start * SECOND, (end + granularity) * SECOND, granularity))
        )
        return answer("[" + ",".join(map(_candle, candles)) + "]")

    async def stats(self, request: web.Request) -> web.Response:
        """Last 24 hours and 30 days, as of the newest trade."""
        _, made = self._traded(request)
        summary = made.summary
        body = {
            "open": trimmed(summary.open_24h),
            "high": trimmed(summary.high_24h),
            "low": trimmed(summary.low_24h),
            "last": trimmed(made.trade.price),
            "volume": trimmed(summary.volume_24h),
            "volume_30day": trimmed(summary.volume_30d),
        }
        return answer(json.dumps(body))

    async def ticker(self, request: web.Request) -> web.Response:
        """The newest trade, best bid and ask."""
        product, made = self._traded(request)
        places = places_of(product.quote_increment)
        body = {
            "ask": padded(made.quote.ask, places),
            "bid": padded(made.quote.bid, places),
            "volume": padded(made.summary.volume_24h),
            "trade_id": made.trade.trade_id,
            "price": trimmed(made.trade.price),
            "size": trimmed(made.trade.size),
            "time": rfc3339(made.trade.time),
        }
        return answer(json.dumps(body))

    def _guarded(self, handler: _Handler) -> _Handler:
        async def guard(request: web.Request) -> web.StreamResponse:
            for active in self._faults.active(RestError):
                if self._faults.strikes(active):
                    self._faults.hit(active, status=active.fault.status, path=request.path_qs)
                    wait = active.fault.retry_after_seconds
                    headers = {} if wait is None else {"Retry-After": str(wait)}
                    return answer('{"message":"Injected fault"}', status=active.fault.status, headers=headers)
            if not self._limit.take(request.remote or ""):
                return answer('{"message":"Public rate limit exceeded"}', status=429)
            return await handler(request)

        return guard

    def _product(self, request: web.Request) -> Product:
        product = self._source.products.get(request.match_info["product_id"])
        if product is None:
            raise not_found()
        return product

    def _traded(self, request: web.Request) -> tuple[Product, Print]:
        product = self._product(request)
        made = self._source.latest(product.product_id)
        if made is None:
            raise not_found()
        return product, made

    def _interval(self, request: web.Request, granularity: int) -> tuple[int, int]:
        """First and last candle's start, in seconds."""
        if ("start" in request.query) != ("end" in request.query):
            raise bad_request("start and end must be given together")
        if "start" not in request.query:
            end = self._clock.now() // SECOND // granularity * granularity
            return end - (MAX_CANDLES - 1) * granularity, end
        try:
            start, end = (parse_rfc3339(request.query[name]) // SECOND for name in ("start", "end"))
        except ValueError:
            raise bad_request("start and end must be ISO 8601 times or seconds since 1970") from None
        start, end = -(-start // granularity) * granularity, end // granularity * granularity
        if (end - start) // granularity + 1 > MAX_CANDLES:
            raise bad_request(
                "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
            )
        return start, end


def _listed(product: Product) -> dict[str, object]:
    return {
        "id": product.product_id,
        "base_currency": product.base_currency,
        "quote_currency": product.quote_currency,
        "quote_increment": trimmed(product.quote_increment),
        "base_increment": trimmed(product.base_increment),
        "display_name": product.product_id,
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


def _trade(trade: Trade) -> str:
    return (
        f'{{"trade_id":{trade.trade_id},"side":"{trade.maker_side}","size":"{padded(trade.size)}",'
        f'"price":"{padded(trade.price)}","time":"{rfc3339(trade.time)}"}}'
    )


def _candle(candle: Candle) -> str:
    """Prices and volume are JSON numbers, written from the exact decimals, never through a float."""
    figures = (candle.low, candle.high, candle.open, candle.close, candle.volume)
    return f"[{candle.start},{','.join(map(trimmed, figures))}]"
