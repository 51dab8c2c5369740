"""Which trade ids lie in a window of time: found in the exchange's own listing, a few requests a bound."""

from datetime import datetime
from typing import NamedTuple

from include.coinbase.rest import RestClient, RestMalformed
from include.coinbase.trade import Trade
from include.spool.timestamps import parse_ns

_SECOND_NS = 1_000_000_000
#: An interpolated guess is moved up by half a page, so that the bound lies in the middle of the page that is read.
_HALF_PAGE = 500


class IdRange(NamedTuple):
    """The ids of a product's trades in a window, both inclusive; `last` is one less than `first` where there is none.

    `least` and `greatest` are wider by the trade before and the trade after, where there are such: by their ids they
    prove that nothing lies between them and the window.
    """

    product_id: str
    first: int
    last: int
    least: int
    greatest: int
    row_bytes: int
    """Of an average row of the listing, as seen."""

    @property
    def asked(self) -> int:
        """Trades that the exchange's numbers say the window has."""
        return self.last - self.first + 1


async def find_range(rest: RestClient, product_id: str, start: datetime, end: datetime) -> IdRange | None:
    """The ids traded from `start` until before `end`; None for a product that never traded. Raises RestError."""
    newest = await rest.trades(product_id, limit=1)
    if not newest:
        return None
    search = _Search(rest, product_id, newest[0])
    first = await search.first_id_since(start)
    last = await search.first_id_since(end) - 1
    return IdRange(
        product_id, first, last, max(1, first - 1), min(last + 1, newest[0].trade_id), search.average_row_bytes()
    )


class _Search:
    """A search by halves and by guesses in turn: ids grow with time, and on most days evenly."""

    def __init__(self, rest: RestClient, product_id: str, newest: Trade) -> None:
        self._rest = rest
        self._product_id = product_id
        self._newest = newest
        self._rows = 0
        self._bytes = 0
        self._see([newest])

    def average_row_bytes(self) -> int:
        return self._bytes // self._rows

    async def first_id_since(self, instant: datetime) -> int:
        """The lowest id traded at this instant or later; one more than the newest when there is none."""
        wanted = int(instant.timestamp()) * _SECOND_NS + instant.microsecond * 1000
        if self._time(self._newest) < wanted:
            return self._newest.trade_id + 1
        # Traded before the instant, and at it or later. No trade has the id 0.
        low, low_at = 0, 0
        high, high_at = self._newest.trade_id, self._time(self._newest)
        guess = False
        while high - low > 1:
            middle = (low + high) // 2
            if guess and low_at:
                middle = low + (high - low) * (wanted - low_at) // max(1, high_at - low_at) + _HALF_PAGE
                middle = min(max(middle, low + 1), high - 1)
            guess = not guess
            page = await self._rest.trades(self._product_id, after=middle + 1)
            self._see(page)
            since = [trade for trade in page if self._time(trade) >= wanted]
            if not since:
                low, low_at = middle, self._time(page[0]) if page else low_at
            elif len(since) < len(page) or since[-1].trade_id <= low + 1:
                return since[-1].trade_id
            else:
                high, high_at = since[-1].trade_id, self._time(since[-1])
        return high

    def _see(self, page: list[Trade]) -> None:
        self._rows += len(page)
        self._bytes += sum(len(trade.raw) for trade in page)

    def _time(self, trade: Trade) -> int:
        instant = parse_ns(trade.time)
        if instant is None:
            raise RestMalformed(
                f"trade {trade.trade_id} of {self._product_id} has the time {trade.time!r}, which is none"
            )
        return instant
