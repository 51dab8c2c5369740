"""Fills a new column of raw.messages from the members that `extra` has kept, hour by hour."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import bigquery

from include.warehouse.batch_reader import EXTRA
from include.warehouse.table_specs import load_spec
from include.warehouse.warehouse import Warehouse

_HOUR = timedelta(hours=1)
#: How a member becomes a value of the column's type. The path is quoted: a member may have any name.
_VALUES = {
    "STRING": "json_value({extra}, '{path}')",
    "INTEGER": "safe_cast(json_value({extra}, '{path}') as int64)",
    "TIMESTAMP": "safe_cast(json_value({extra}, '{path}') as timestamp)",
    "JSON": "json_query({extra}, '{path}')",
}


class BackfillRefused(Exception):
    """The column cannot be filled. Nothing was changed."""


def backfill_column(warehouse: Warehouse, column: str, begin: datetime, end: datetime) -> dict[str, Any]:
    """Fill a column where it is null and `extra` has a member of its name, for records received from `begin` until
    before `end`, both extended to whole hours.

    One statement a partition, each of which can be repeated; `extra` stays as it is. Raises BackfillRefused for a name
    that is no nullable column in schemas/messages.json, SchemaMismatch, and what the client library raises.
    """
    fields = {field.name: field for field in load_spec("messages").schema}
    if (
        column not in fields
        or column == EXTRA
        or fields[column].mode != "NULLABLE"
        or fields[column].type not in _VALUES
    ):
        raise BackfillRefused(
            f"{column} is no nullable column of raw.messages. Hint: add it to include/warehouse/schemas/messages.json"
        )
    warehouse.prepare()
    value = _VALUES[fields[column].type].format(extra=EXTRA, path=f'$."{column}"')
    sql = (
        f"update `{warehouse.messages_id}` set `{column}` = {value} "  # noqa: S608 - names of our own schema
        f"where received_at >= @begin and received_at < @end and `{column}` is null and {value} is not null"
    )
    rows = hours = 0
    for hour in _hours(begin, end):
        changed = warehouse.client.query_and_wait(
            sql,
            job_config=bigquery.QueryJobConfig(
                query_parameters=[
                    bigquery.ScalarQueryParameter("begin", "TIMESTAMP", hour),
                    bigquery.ScalarQueryParameter("end", "TIMESTAMP", hour + _HOUR),
                ]
            ),
        ).num_dml_affected_rows
        hours += 1
        rows += changed or 0
    return {"column": column, "hours": hours, "rows": rows}


def _hours(begin: datetime, end: datetime) -> Iterator[datetime]:
    hour = begin.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < end:
        yield hour
        hour += _HOUR
