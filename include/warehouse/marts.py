"""What the marts have of a window. Read only: dbt alone writes them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from google.api_core.exceptions import NotFound

from include.warehouse.warehouse import Warehouse


class Known(NamedTuple):
    """Trades of a range that the marts have; `inserted` of them by receipts of the sessions asked about."""

    known: int
    inserted: int


class Marts:
    """Questions about fct_trades. A mart that is not there yet has no rows. Methods raise what `Statements` raises."""

    def __init__(self, warehouse: Warehouse, start: datetime, end: datetime) -> None:
        """The window bounds the partitions that are read; a day more at either end, for the trades next to it."""
        self._statements = warehouse.statements
        self._dates = {
            "from_date": (start - timedelta(days=1)).date().isoformat(),
            "to_date": (end + timedelta(days=1)).date().isoformat(),
        }

    def missing(self, product_id: str, first: int, last: int) -> list[tuple[int, int]]:
        """Ranges of ids, both inclusive, of which there is no trade, in order."""
        if first > last:
            return []
        try:
            rows = self._statements.rows("missing_trades", product_id=product_id, first=first, last=last, **self._dates)
            return [(row["first"], row["last"]) for row in rows]
        except NotFound:
            return [(first, last)]

    def known(self, product_id: str, first: int, last: int, sessions: Sequence[str]) -> Known:
        """How many trades of the ids, both inclusive, there are."""
        try:
            (row,) = self._statements.rows(
                "refetched_trades",
                product_id=product_id,
                first=first,
                last=last,
                sessions=list(sessions),
                **self._dates,
            )
        except NotFound:
            return Known(0, 0)
        return Known(row["known"], row["inserted"])
