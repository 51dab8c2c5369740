"""Only the latest results of queries are kept.

Fault: each query's result stays a table of `emulator._results` for ever, and every statement lists all tables: a
long-lived warehouse gets slower with each job.
BigQuery: results of a query live for about 24 hours, then reading them answers notFound; so does it here, earlier.
Test: tests/emulator/test_result_retention.py. Remove when local-bigquery expires results itself.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from local_bigquery.catalog import tables
from local_bigquery.engine import database
from local_bigquery.jobs import runner

from emulator.fixes.upstream import wrap

#: Some ten minutes of a busy pipeline: who pages through a result needs it to outlive the queries made meanwhile.
RESULTS_KEPT = 200

_kept: deque[str] = deque()
_lock = threading.Lock()


def apply() -> None:
    """Put the fix in place. The results found in the data folder count."""
    wrap(runner, "_query", ("job", "session", "running"), _query)
    with _lock:
        _kept.extend(_found())
        _drop_oldest()


def _found() -> list[str]:
    """Names of the results in the data folder, the oldest first; of a job no longer known, before all."""
    rows = database.fetch(
        "SELECT table_name FROM duckdb_tables() LEFT JOIN emulator.jobs ON table_name = project_id || ':' || job_id "
        "WHERE database_name = 'emulator' AND schema_name = ? ORDER BY creation_time NULLS FIRST",
        [tables.RESULTS],
    )
    return [name for (name,) in rows]


def _query(inner: Callable[..., Any], job: Any, *args: Any) -> Any:
    statistics = inner(job, *args)
    destination = job.configuration.query.destinationTable
    if destination is not None and destination.datasetId == tables.RESULTS:
        *_, name = tables.physical(*tables.reference(destination))
        with _lock:
            _kept.append(name)
            _drop_oldest()
    return statistics


def _drop_oldest() -> None:
    while len(_kept) > RESULTS_KEPT:
        table = database.quote("emulator", tables.RESULTS, _kept.popleft())
        database.execute(f"DROP TABLE IF EXISTS {table}")
