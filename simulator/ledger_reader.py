"""Questions to the truth ledger, answered by a connection of its own beside the writer."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from simulator.instants import SECOND
from simulator.ledger import VOLUME_HALVES, volume_of
from simulator.trade import Trade

_BIGGEST = 2**63 - 1


class Candle(NamedTuple):
    """Trades of one interval: start in seconds since 1970, the rest in 10^-8."""

    start: int
    low: int
    high: int
    open: int
    close: int
    volume: int


class Total(NamedTuple):
    """What a product's trades add up to. Volume in 10^-8, notional (price × size) in 10^-16."""

    product_id: str
    trades: int
    first_trade_id: int
    last_trade_id: int
    volume: int
    notional: int


class LedgerReader:
    """Read-only. All methods block; use it from one thread at a time. Ids grow with time, so time needs no index."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def product_ids(self) -> list[str]:
        """Products with at least one trade, sorted."""
        return [
            row[0] for row in self._connection.execute("SELECT DISTINCT product_id FROM trades ORDER BY product_id")
        ]

    def newest(self, product_id: str, limit: int, below: int = _BIGGEST, above: int = -1) -> list[Trade]:
        """Up to `limit` trades with above < id < below, newest first."""
        rows = self._connection.execute(
            "SELECT * FROM trades WHERE product_id = ? AND trade_id > ? AND trade_id < ? "
            "ORDER BY trade_id DESC LIMIT ?",
            (product_id, above, below, limit),
        )
        return [Trade._make(row) for row in rows]

    def oldest(self, product_id: str, limit: int, from_id: int, to_id: int = _BIGGEST) -> list[Trade]:
        """Up to `limit` trades with from_id <= id <= to_id, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM trades WHERE product_id = ? AND trade_id BETWEEN ? AND ? ORDER BY trade_id LIMIT ?",
            (product_id, from_id, to_id, limit),
        )
        return [Trade._make(row) for row in rows]

    def total(self, product_id: str, from_id: int = 0, to_id: int = _BIGGEST) -> Total | None:
        """Count and sums of the trades with from_id <= id <= to_id, exact; None without a trade."""
        rows = self._connection.execute(
            "SELECT trade_id, price, size FROM trades WHERE product_id = ? AND trade_id BETWEEN ? AND ? "
            "ORDER BY trade_id",
            (product_id, from_id, to_id),
        )
        trades = volume = notional = last = 0
        first = None
        for trade_id, price, size in rows:
            first = trade_id if first is None else first
            last = trade_id
            trades += 1
            volume += size
            notional += price * size
        return None if first is None else Total(product_id, trades, first, last, volume, notional)

    def candles(self, product_id: str, start: int, end: int, granularity: int) -> Iterator[Candle]:
        """Candles of `granularity` seconds for trades with start <= time < end (µs), newest first.

        Empty intervals are left out.
        """
        width = granularity * SECOND
        rows = self._connection.execute(
            f"""
            WITH bars AS (
                SELECT time / ?1 AS bar, min(trade_id) AS first_id, max(trade_id) AS last_id,
                    min(price) AS low, max(price) AS high,
                    {VOLUME_HALVES.replace(",", " AS volume_high,", 1)} AS volume_low
                FROM trades WHERE product_id = ?2 AND trade_id >= ?3 AND trade_id < ?4 GROUP BY bar
            )
            SELECT bar, low, high, opening.price, closing.price, volume_high, volume_low FROM bars
            JOIN trades AS opening ON opening.product_id = ?2 AND opening.trade_id = first_id
            JOIN trades AS closing ON closing.product_id = ?2 AND closing.trade_id = last_id
            ORDER BY bar DESC
            """,  # noqa: S608
            (width, product_id, self.first_id_since(product_id, start), self.first_id_since(product_id, end)),
        )
        for bar, low, high, open_, close, volume_high, volume_low in rows:
            yield Candle(bar * granularity, low, high, open_, close, volume_of(volume_high, volume_low))

    def first_id_since(self, product_id: str, instant: int) -> int:
        """The lowest id traded at this instant (µs) or later; past the newest id when there is none."""
        row = self._connection.execute(
            "SELECT min(trade_id), max(trade_id) FROM trades WHERE product_id = ?", (product_id,)
        )
        low, high = row.fetchone()
        if low is None:
            return 0
        high += 1
        while low < high:
            middle = (low + high) // 2
            trade_id, time = self._connection.execute(
                "SELECT trade_id, time FROM trades WHERE product_id = ? AND trade_id >= ? ORDER BY trade_id LIMIT 1",
                (product_id, middle),
            ).fetchone()
            if time < instant:
                low = trade_id + 1
            else:
                high = middle
        return int(low)
