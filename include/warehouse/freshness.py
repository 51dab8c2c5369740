"""What the marts and raw know of each product's newest trade and heartbeat."""

from datetime import datetime, timedelta
from typing import Final

import msgspec
from google.api_core import exceptions

from include.warehouse.statements import Statements

#: How far back heartbeats and trades are looked for: two partitions of fct_trades, a day of raw, clustered by type.
LOOKBACK: Final = timedelta(days=1)


class ProductFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """A product. None: there is none, or none in the time that was looked at."""

    product_id: str
    traded_at: datetime | None
    """Exchange time of the newest trade in the marts."""
    trade_id: int | None
    """Id of the newest trade in the marts."""
    beat_at: datetime | None
    """When the newest heartbeat was received that was loaded."""
    last_trade_id: int | None
    """The newest trade that a heartbeat told of."""


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """All products, and when anything at all was received last."""

    products: tuple[ProductFreshness, ...]
    received_at: datetime | None


def read(statements: Statements, *, now: datetime) -> Freshness:
    """Read the freshness of all products; none where the marts do not exist yet.

    Raises what `Statements` raises.
    """
    try:
        (row,) = statements.rows("received_until")
        received_at = msgspec.convert(row["received_at"], datetime | None)
        rows = list(statements.rows("product_freshness", since=now - LOOKBACK))
    except exceptions.NotFound:
        return Freshness(products=(), received_at=None)
    return Freshness(products=tuple(msgspec.convert(row, ProductFreshness) for row in rows), received_at=received_at)
