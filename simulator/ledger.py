"""The truth ledger: every trade made, in one SQLite file, committed before anybody is told.

WAL with `synchronous=NORMAL`: what was committed survives `kill -9` of the process; the machine's own crash may cost
the last commits.
"""

import fcntl
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from simulator.errors import SimulatorError
from simulator.rolling import HOUR, MINUTE, Bar
from simulator.trade import Trade

_SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE trades (
    product_id      TEXT    NOT NULL,
    trade_id        INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    time            INTEGER NOT NULL,  -- microseconds since 1970
    maker_side      TEXT    NOT NULL CHECK (maker_side IN ('buy', 'sell')),
    price           INTEGER NOT NULL CHECK (price > 0),  -- 10^-8
    size            INTEGER NOT NULL CHECK (size > 0),   -- 10^-8
    maker_order_id  BLOB    NOT NULL,
    taker_order_id  BLOB    NOT NULL,
    PRIMARY KEY (product_id, trade_id)
) STRICT, WITHOUT ROWID
"""

_INSERT = "INSERT INTO trades VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

#: A volume may exceed 64 bits in 10^-8, so its halves are summed.
VOLUME_HALVES = "sum(size >> 32), sum(size & 4294967295)"


def volume_of(high: int, low: int) -> int:
    """Put the two sums of VOLUME_HALVES together."""
    return (high << 32) + low


class Ledger:
    """The one writer of a ledger. All methods block; use it from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises SimulatorError when it is not ours or another process has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise SimulatorError(f"{path} belongs to a running simulator; stop it or set PULSE_SIMULATOR_DIR") from None
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.close()
            raise SimulatorError(f"{path} is not a usable truth ledger: {error}") from error
        except SimulatorError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, trades: Iterable[Trade]) -> None:
        """Record trades in one transaction: all or none. Raises sqlite3.IntegrityError for an id that exists."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_INSERT, trades)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def clear(self) -> None:
        """Forget every trade."""
        self._connection.execute("DELETE FROM trades")

    def last_trades(self) -> dict[str, Trade]:
        """The newest trade of each product."""
        newest = "SELECT product_id, max(trade_id) FROM trades GROUP BY product_id"
        rows = self._connection.execute(f"SELECT * FROM trades WHERE (product_id, trade_id) IN ({newest})")  # noqa: S608
        return {trade.product_id: trade for trade in map(Trade._make, rows)}

    def minutes(self, product_id: str, since: int) -> list[Bar]:
        """Minutes with trades from an instant on, oldest first."""
        rows = self._connection.execute(
            f"""
            WITH minutes AS (
                SELECT time / {MINUTE} AS minute, min(trade_id) AS first_id, max(price) AS high, min(price) AS low,
                    {VOLUME_HALVES.replace(",", " AS volume_high,", 1)} AS volume_low
                FROM trades WHERE product_id = ? AND time >= ? GROUP BY minute
            )
            SELECT minute, price, high, low, volume_high, volume_low
            FROM minutes JOIN trades ON product_id = ? AND trade_id = first_id ORDER BY minute
            """,  # noqa: S608
            (product_id, since, product_id),
        )
        return [Bar(minute, open_, high, low, volume_of(*halves)) for minute, open_, high, low, *halves in rows]

    def hours(self, product_id: str, since: int) -> list[tuple[int, int]]:
        """(hour since 1970, volume) from an instant on, oldest first."""
        rows = self._connection.execute(
            f"SELECT time / {HOUR} AS hour, {VOLUME_HALVES} FROM trades "  # noqa: S608
            "WHERE product_id = ? AND time >= ? GROUP BY hour ORDER BY hour",
            (product_id, since),
        )
        return [(hour, volume_of(high, low)) for hour, high, low in rows]

    def close(self) -> None:
        """Close the file and give the lock back."""
        self._connection.close()
        self._lock.close()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA}; PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT")
        elif version != _SCHEMA_VERSION:
            raise SimulatorError(
                f"{self.path} has schema version {version}, this simulator writes {_SCHEMA_VERSION}; "
                "remove it or set PULSE_SIMULATOR_DIR"
            )
