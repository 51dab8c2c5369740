"""What was really traded, for whoever judges a pipeline: not rate limited, exact decimals as strings."""

import json
from collections.abc import AsyncIterator

from aiohttp import web

from simulator.answers import answer, integer, not_found
from simulator.decimals import product_text, trimmed
from simulator.instants import rfc3339
from simulator.ledger_reader import Total
from simulator.queries import Queries
from simulator.trade import Trade, order_id_text

_PAGE = 10_000
_ANY_ID = 2**63 - 1


class Truth:
    """Handlers of `/truth…`. `product_id`, `from_id` and `to_id` (inclusive) narrow both answers."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def routes(self) -> list[web.RouteDef]:
        """Both endpoints."""
        return [web.get("/truth/summary", self.summary), web.get("/truth/trades", self.trades)]

    async def summary(self, request: web.Request) -> web.Response:
        """Count, bounds and sums of each product."""
        from_id, to_id = _bounds(request)
        totals = [
            total
            for product_id in await self._product_ids(request)
            if (total := await self._total(product_id, from_id, to_id))
        ]
        return answer(json.dumps({"products": [_summed(total) for total in totals]}))

    async def trades(self, request: web.Request) -> web.StreamResponse:
        """Every trade, one JSON object a line, by product and id."""
        from_id, to_id = _bounds(request)
        product_ids = await self._product_ids(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for product_id in product_ids:
            async for page in self._pages(product_id, from_id, to_id):
                await response.write(b"".join(map(_line, page)))
        await response.write_eof()
        return response

    async def _total(self, product_id: str, from_id: int, to_id: int) -> Total | None:
        return await self._queries.run(lambda reader: reader.total(product_id, from_id, to_id))

    async def _page(self, product_id: str, from_id: int, to_id: int) -> list[Trade]:
        return await self._queries.run(lambda reader: reader.oldest(product_id, _PAGE, from_id, to_id))

    async def _pages(self, product_id: str, from_id: int, to_id: int) -> AsyncIterator[list[Trade]]:
        while page := await self._page(product_id, from_id, to_id):
            yield page
            from_id = page[-1].trade_id + 1

    async def _product_ids(self, request: web.Request) -> list[str]:
        known = await self._queries.run(lambda reader: reader.product_ids())
        wanted = request.query.get("product_id")
        if wanted is None:
            return known
        if wanted not in known:
            raise not_found()
        return [wanted]


def _bounds(request: web.Request) -> tuple[int, int]:
    return integer(request, "from_id", 0), integer(request, "to_id", _ANY_ID)


def _summed(total: Total) -> dict[str, object]:
    return {
        "product_id": total.product_id,
        "trades": total.trades,
        "first_trade_id": total.first_trade_id,
        "last_trade_id": total.last_trade_id,
        "volume": trimmed(total.volume),
        "notional": product_text(total.notional),
    }


def _line(trade: Trade) -> bytes:
    return (
        f'{{"product_id":"{trade.product_id}","trade_id":{trade.trade_id},"sequence":{trade.sequence},"time":"{rfc3339(trade.time)}",'
        f'"maker_side":"{trade.maker_side}","price":"{trimmed(trade.price)}","size":"{trimmed(trade.size)}",'
        f'"maker_order_id":"{order_id_text(trade.maker_order_id)}","taker_order_id":"{order_id_text(trade.taker_order_id)}"}}\n'
    ).encode()
