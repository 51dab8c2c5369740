"""Whatever writes takes turns: loads, DML, DDL and the REST API's own changes, over all tables.

Fault: only DML and loads of one table wait for each other. Of two simultaneous CREATE OR REPLACE one fails ("Failed to
commit DuckLake transaction"), and a commit that DuckLake tries again because another table was committed meanwhile can
write a garbled name into its catalogue (seen once in two runs of the test).
BigQuery: all succeed, the later one stays.
Here: one lock for every writer of tables; readers wait for nobody. Upstream runs some DDL as DDL and DML (CREATE TABLE
with a column list AS SELECT), so its holder can take it again.
Test: tests/emulator/test_concurrency.py, test_create_table_as.py. Remove when DuckLake's retries are sound and
local-bigquery takes its lock for DDL too.
"""

import threading
from collections.abc import Callable
from typing import Any

from local_bigquery.catalog import tabledata
from local_bigquery.engine import database
from local_bigquery.jobs import query

from emulator.fixes.upstream import UpstreamChanged, wrap


class _OneLock(dict[tuple[str, ...], Any]):
    """Upstream's locks by table, all of them the same one."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()

    def setdefault(self, _key: tuple[str, ...], _default: Any = None) -> Any:
        return self._lock


def apply() -> None:
    """Put the fix in place."""
    if database._writers != {}:
        raise UpstreamChanged("local_bigquery.engine.database._writers is not the empty dict of locks it was.")
    database._writers = _OneLock()
    wrap(query, "_run", ("cur", "tree", "context", "destination", "config", "dry_run", "isolated"), _run)
    # What the REST API writes outside jobs: DDL of datasets and tables, streaming inserts.
    wrap(database, "execute", ("sql", "params"), _in_turn)
    wrap(tabledata, "_insert", ("table", "schema", "rows"), _in_turn)


def _in_turn(inner: Callable[..., Any], *args: Any) -> Any:
    with database.writing():
        return inner(*args)


def _run(inner: Callable[..., Any], cur: Any, tree: Any, context: Any, *args: Any) -> Any:
    *_, dry_run, _isolated = args
    if dry_run or not isinstance(tree, query.DDL):
        return inner(cur, tree, context, *args)
    with database.writing(*query._target(tree, context)):
        return inner(cur, tree, context, *args)
