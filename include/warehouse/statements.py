"""The statements in `sql/`: each is one job, can be repeated, and takes its values as parameters only.

`{name}` in a statement is the full id of a table, `{record_columns}` the columns of raw.messages that a record has
whenever it is loaded.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud import bigquery

from include.config import WarehouseConfig
from include.warehouse.client import ONCE
from include.warehouse.table_specs import load_spec, load_specs
from include.warehouse.tables import full_id

#: Marts that statements read; all other tables are those of the specifications.
_MARTS = ("dim_products", "fct_trades", "fct_trades_daily")
_FOLDER = Path(__file__).parent / "sql"


class Statements:
    """All methods raise google.api_core.exceptions.GoogleAPIError when the warehouse refuses or stays away.

    The client library repeats what may be repeated for ten minutes; with `timeout_seconds` a request is tried once, for
    that long, and a warehouse that is away is an OSError.
    """

    def __init__(
        self, client: bigquery.Client, config: WarehouseConfig, *, timeout_seconds: float | None = None
    ) -> None:
        self._client = client
        self._names = {spec.table: full_id(config, spec.dataset, spec.table) for spec in load_specs()}
        self._names |= {table: full_id(config, "marts", table) for table in _MARTS}
        columns = [field.name for field in load_spec("messages").schema if field.name != "batch_id"]
        self._names["record_columns"] = ", ".join(f"`{column}`" for column in columns)
        self._patience: dict[str, Any] = {}
        if timeout_seconds is not None:
            self._patience = {
                "api_timeout": timeout_seconds,
                "wait_timeout": timeout_seconds,
                "retry": ONCE,
                "job_retry": None,
            }

    def rows(self, statement: str, **values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query; instants are in the manifests' text form."""
        for row in self._run(statement, values):
            yield _with_texts(dict(row))

    def change(self, statement: str, **values: Any) -> int:
        """Rows that a DML statement has changed."""
        return int(self._run(statement, values).num_dml_affected_rows or 0)

    def _run(self, statement: str, values: Mapping[str, Any]) -> Any:
        sql = (_FOLDER / f"{statement}.sql").read_text("utf-8")
        for name, text in self._names.items():
            sql = sql.replace("{" + name + "}", text)
        parameters = [_parameter(name, value) for name, value in values.items()]
        return self._client.query_and_wait(
            sql, job_config=bigquery.QueryJobConfig(query_parameters=parameters), **self._patience
        )


def _parameter(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return bigquery.ArrayQueryParameter(name, "STRING", value)
    if isinstance(value, datetime):
        return bigquery.ScalarQueryParameter(name, "TIMESTAMP", value)
    return bigquery.ScalarQueryParameter(name, "INT64" if isinstance(value, int) else "STRING", value)


def _with_texts(value: Any) -> Any:
    """A result with every datetime in the text form of the manifests, at any depth."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, dict):
        return {name: _with_texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_texts(item) for item in value]
    return value
