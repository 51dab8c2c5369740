"""The figures of the status view: what is in the marts, and how fresh it is.

Cheap: table metadata and the ledger, no mart is scanned. Tolerant: what does not exist yet is missing from the figures.
"""

from datetime import UTC, datetime

import msgspec
from google.api_core import exceptions
from google.cloud import bigquery

from include.config import WarehouseConfig
from include.warehouse.client import ONCE
from include.warehouse.ledger import Ledger, RecentBatch
from include.warehouse.statements import Statements


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """`freshness_seconds` is now minus `traded_until`, the exchange time of the newest trade in the marts."""

    mart_rows: dict[str, int]
    last_batch: RecentBatch | None
    traded_until: str | None
    freshness_seconds: float | None


def figures(
    client: bigquery.Client, config: WarehouseConfig, *, now: datetime | None = None, timeout_seconds: float = 5
) -> Figures:
    """Read the figures; each request is tried once, for `timeout_seconds`.

    Raises google.api_core.exceptions.GoogleAPICallError when the warehouse refuses, and OSError (the exceptions of
    requests are) when it is away.
    """
    ledger = Ledger(Statements(client, config, timeout_seconds=timeout_seconds))
    try:
        recent = ledger.recent(1)
        traded_until = ledger.transformed_until()
    except exceptions.NotFound:
        recent, traded_until = [], None
    freshness = None
    if traded_until is not None:
        freshness = ((now or datetime.now(UTC)) - datetime.fromisoformat(traded_until)).total_seconds()
    return Figures(
        mart_rows=_mart_rows(client, config, timeout_seconds),
        last_batch=recent[0] if recent else None,
        traded_until=traded_until,
        freshness_seconds=freshness,
    )


def _mart_rows(client: bigquery.Client, config: WarehouseConfig, timeout_seconds: float) -> dict[str, int]:
    """Rows of every table of the marts dataset by name, from its metadata; views have none."""
    dataset = bigquery.DatasetReference(config.project, config.datasets().marts)
    try:
        listed = list(client.list_tables(dataset, retry=ONCE, timeout=timeout_seconds))
    except exceptions.NotFound:
        return {}
    tables = [item for item in listed if item.table_type == "TABLE"]
    return {item.table_id: client.get_table(item, retry=ONCE, timeout=timeout_seconds).num_rows for item in tables}
