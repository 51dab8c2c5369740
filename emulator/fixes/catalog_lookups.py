"""A table and its columns are looked up where DuckLake notes them.

Fault: a lookup, of which every statement needs several for each of its tables, has DuckDB list all tables and columns
of all datasets with their estimated sizes: 40 ms in an installation, and each further dataset prefix makes it longer.
BigQuery: the number of tables costs nothing.
Here: DuckLake's records of the one project stand in for DuckDB's lists.
Test: tests/emulator/test_catalog_lookups.py. Remove when duckdb_tables() no longer reads statistics of every table.
"""

from collections.abc import Callable
from typing import Any

import duckdb
from local_bigquery.catalog import tables
from local_bigquery.engine import database

from emulator.fixes.commit_tags import METADATA
from emulator.fixes.upstream import wrap

_TABLES = """(
    SELECT {project} AS database_name, schema_name, table_name, coalesce(record_count, 0) AS estimated_size
    FROM {lake}.ducklake_table AS found JOIN {lake}.ducklake_schema AS schemas USING (schema_id)
        LEFT JOIN {lake}.ducklake_table_stats USING (table_id)
    WHERE found.end_snapshot IS NULL AND schemas.end_snapshot IS NULL
)"""
_COLUMNS = """(
    SELECT {project} AS database_name, schema_name, table_name, column_name, nulls_allowed AS is_nullable
    FROM {lake}.ducklake_column AS columns JOIN {lake}.ducklake_table AS found USING (table_id)
        JOIN {lake}.ducklake_schema AS schemas USING (schema_id)
    WHERE parent_column IS NULL
        AND columns.end_snapshot IS NULL AND found.end_snapshot IS NULL AND schemas.end_snapshot IS NULL
)"""

#: Of the result of a query, which lies in DuckDB itself, outside the projects.
_RESULT_COLUMNS = """(
    SELECT {0} AS database_name, {1} AS schema_name, {2} AS table_name,
        name AS column_name, NOT "notnull" AS is_nullable
    FROM pragma_table_info({3})
)"""


def apply() -> None:
    """Put the fix in place."""
    wrap(database, "fetch", ("sql", "params"), _fetch)
    wrap(database, "objects", ("project_id", "dataset_id", "table_id"), _objects)


def _fetch(inner: Callable[..., Any], sql: str, params: list[Any] | None = None) -> Any:
    """The lists that stand in know one project: the first parameter, by which all these statements choose theirs."""
    if params and params[0] in database._attached:  # asking DuckDB would cost a statement
        project, lake = _literal(params[0]), database.quote(METADATA + params[0])
        sql = sql.replace("duckdb_tables()", _TABLES.format(project=project, lake=lake))
        sql = sql.replace("duckdb_columns()", _COLUMNS.format(project=project, lake=lake))
    elif params and params[1:2] == [tables.RESULTS] and "duckdb_columns()" in sql:
        names = [_literal(name) for name in (*params[:3], database.quote(*params[:3]))]
        try:
            return inner(sql.replace("duckdb_columns()", _RESULT_COLUMNS.format(*names)), params)
        except duckdb.CatalogException:  # it has just expired
            return []
    return inner(sql, params)


def _objects(inner: Callable[..., Any], project_id: str, dataset_id: str, table_id: str | None = None) -> Any:
    """The result of a query is there if it can be counted."""
    if dataset_id != tables.RESULTS or table_id is None:
        return inner(project_id, dataset_id, table_id)
    table = database.quote(project_id, dataset_id, table_id)
    try:
        ((rows,),) = database.fetch(f"SELECT count(*) FROM {table}")  # noqa: S608 - quoted
    except duckdb.CatalogException:
        return []
    return [(table_id, "TABLE", rows)]


def _literal(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
