"""A table's numRows counts the rows that are there.

Fault: it is DuckDB's estimate, which goes on counting rows that were deleted or replaced: a table of 3 rows that is
merged into every two minutes claims hundreds.
BigQuery: numRows is exact.
Here: from DuckLake's own records of data and delete files.
Test: tests/emulator/test_tables_and_types.py. Remove when DuckLake's estimated_size leaves deleted rows out.
"""

from collections.abc import Callable
from typing import Any

from local_bigquery.catalog import tables
from local_bigquery.engine import database

from emulator.fixes.commit_tags import METADATA
from emulator.fixes.upstream import wrap

_COUNT = """
    WITH wanted AS (
        SELECT table_id FROM {lake}.ducklake_table JOIN {lake}.ducklake_schema AS schemas USING (schema_id)
        WHERE lower(table_name) = lower($2) AND lower(schema_name) = lower($1)
            AND ducklake_table.end_snapshot IS NULL AND schemas.end_snapshot IS NULL
    )
    SELECT
        (SELECT coalesce(sum(record_count), 0) FROM {lake}.ducklake_data_file
         WHERE table_id IN (FROM wanted) AND end_snapshot IS NULL)
        - (SELECT coalesce(sum(delete_count), 0)
           FROM {lake}.ducklake_delete_file AS deletions JOIN {lake}.ducklake_data_file AS files USING (data_file_id)
           WHERE files.table_id IN (FROM wanted) AND files.end_snapshot IS NULL AND deletions.end_snapshot IS NULL)
"""


def apply() -> None:
    """Put the fix in place."""
    wrap(tables, "load", ("project_id", "dataset_id", "table_id"), _load)


def _load(inner: Callable[..., Any], project_id: str, dataset_id: str, table_id: str) -> Any:
    table = inner(project_id, dataset_id, table_id)
    lake, schema, name = tables.physical(project_id, dataset_id, table_id)
    if table.type != "TABLE" or lake not in database.projects():  # results of queries lie outside the lakes
        return table
    count = _COUNT.format(lake=database.quote(METADATA + lake))
    ((rows,),) = database.fetch(count, [schema, name])
    return table.replace(numRows=str(rows))
