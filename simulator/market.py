"""All products' walks and statistics over one ledger: what was traded, up to the newest trade told."""

from collections.abc import Iterable, Mapping, Sequence

from simulator.arrivals import Arrivals
from simulator.catalogue import Product, product
from simulator.frames import Print
from simulator.instants import SECOND
from simulator.ledger import Ledger
from simulator.rolling import HOUR, Rolling
from simulator.trade import Trade
from simulator.walk import Walk

_HISTORY_BATCH = 10_000


class Market:
    """A trade is made by a walk, recorded by the ledger, then remembered here: only then it is the latest."""

    def __init__(self, product_ids: Iterable[str], seed: int, ledger: Ledger) -> None:
        """Goes on behind the newest trades of the ledger."""
        self.products: Mapping[str, Product] = {product_id: product(product_id) for product_id in product_ids}
        self.latest: dict[str, Print] = {}
        self._ledger = ledger
        last = ledger.last_trades()
        self.walks = {p.product_id: Walk(p, seed, last.get(p.product_id)) for p in self.products.values()}
        self._rolling = {product_id: Rolling() for product_id in self.products}
        for product_id in self.products.keys() & last.keys():
            trade, rolling = last[product_id], self._rolling[product_id]
            rolling.restore(
                ledger.minutes(product_id, trade.time - 24 * HOUR),
                ledger.hours(product_id, trade.time - 30 * 24 * HOUR),
            )
            self.latest[product_id] = Print(trade, self.walks[product_id].quote(trade), rolling.summary())

    def open(self, at: int) -> None:
        """Make the first trade of products that have none, so that there is always a last match."""
        self._record([walk.sweep(at, length=1)[0] for walk in self.walks.values() if walk.last is None])

    def make_history(self, arrivals: Arrivals, start: int, end: int) -> None:
        """Trade from one instant to another, as fast as it goes."""
        trades: list[Trade] = []
        for until in range(start, end, SECOND):
            trades += [trade for at, product_id in arrivals.due(until) for trade in self.walks[product_id].sweep(at)]
            if len(trades) >= _HISTORY_BATCH:
                self._record(trades)
                trades = []
        self._record(trades)

    def remember(self, trades: Sequence[Trade]) -> list[Print]:
        """Recorded trades become the latest; what tickers say about them."""
        prints = []
        for trade in trades:
            summary = self._rolling[trade.product_id].add(trade.time, trade.price, trade.size)
            made = Print(trade, self.walks[trade.product_id].quote(trade), summary)
            self.latest[trade.product_id] = made
            prints.append(made)
        return prints

    def _record(self, trades: Sequence[Trade]) -> None:
        self._ledger.append(trades)
        self.remember(trades)
