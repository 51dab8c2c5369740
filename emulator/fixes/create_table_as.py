"""CREATE TABLE AS jobs name the table they made as their destination.

Fault: the job's configuration has no destinationTable, so `QueryJob.destination` is None and every dbt table, snapshot
and unit test fails with "'NoneType' object has no attribute 'path'".
BigQuery: destinationTable is the table made; the result of the statement itself has no rows.
Test: tests/emulator/test_create_table_as.py.
Remove when a CREATE TABLE AS job of local-bigquery has a destinationTable.
"""

from collections.abc import Callable
from typing import Any

from local_bigquery.api import jobs
from local_bigquery.jobs import runner

from emulator.fixes.upstream import wrap

STATEMENT_TYPE = "CREATE_TABLE_AS_SELECT"


def apply() -> None:
    """Put the fix in place."""
    wrap(runner, "_query", ("job", "session", "running"), _query)
    wrap(jobs, "results", ("job", "max_results", "start", "int64_timestamps"), _results)


def name_destination(config: Any, statement_type: str, target: Any) -> None:
    """Make `target`, a table reference, the destination of the query's configuration, if that has none."""
    if statement_type == STATEMENT_TYPE and config.destinationTable is None:
        config.destinationTable = target


def _query(inner: Callable[..., Any], job: Any, *args: Any) -> Any:
    statistics = inner(job, *args)
    if statistics.query:
        name_destination(job.configuration.query, statistics.query.statementType, statistics.query.ddlTargetTable)
    return statistics


def _results(inner: Callable[..., Any], job: Any, *args: Any) -> Any:
    """Without this, the made table would be read as if it were the statement's result."""
    statistics = job.statistics.query
    if statistics and statistics.statementType == STATEMENT_TYPE:
        query = job.configuration.query.without("destinationTable")
        job = job.replace(configuration=job.configuration.replace(query=query))
    return inner(job, *args)
