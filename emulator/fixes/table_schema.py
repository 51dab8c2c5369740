"""A load without a schema follows the schema of its table, and REQUIRED columns stay REQUIRED.

Fault: without a schema, column types are guessed from the data: decimals go through DOUBLE and times are rewritten
before they reach a STRING column. A table that a load makes or replaces has only NULLABLE columns.
BigQuery: a load that neither brings a schema nor asks for autodetection uses the existing table's. The modes of the
schema hold, also in a table that WRITE_TRUNCATE replaces: a row without a REQUIRED value fails the load.
Test: tests/emulator/test_loads.py. Remove when both hold in local-bigquery.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from local_bigquery.catalog import tables
from local_bigquery.engine.database import quote
from local_bigquery.jobs import load, runner

from emulator.fixes.upstream import wrap

_required: ContextVar[tuple[str, ...]] = ContextVar("required", default=())


def apply() -> None:
    """Put the fix in place. `commit_tags` calls `require` in the transaction that makes a table."""
    wrap(load, "run", ("cur", "config", "upload"), _run)
    runner.HANDLERS["load"] = load.run


def require(cursor: Any, table: str) -> None:
    """Set the REQUIRED columns of the running load's schema in the table (a quoted name) just made."""
    for column in _required.get():
        cursor.execute(f"ALTER TABLE {table} ALTER COLUMN {quote(column)} SET NOT NULL")


def _run(inner: Callable[..., Any], cur: Any, config: Any, upload: str | None) -> Any:
    """Runs in its job's own context: the variable needs no reset."""
    reference = tables.reference(config.destinationTable)
    if (
        config.schema_ is None
        and not config.autodetect
        and config.sourceFormat in load.TEXT_FORMATS
        and tables.exists(*reference)
    ):
        config = config.replace(schema=tables.load(*reference).schema_.dump())
    _required.set(tuple(field.name for field in tables.fields(config) if field.mode == "REQUIRED"))
    return inner(cur, config, upload)
