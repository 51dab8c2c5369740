"""CREATE TABLE AS jobs look as dbt needs them."""

from typing import Any

import pytest
from google.api_core.exceptions import BadRequest


def test_destination(warehouse: Any, dataset: str) -> None:
    """The job's destination is the table it made."""
    job = warehouse.client.query(f"create or replace table {dataset}.made as select 1 a")
    job.result()

    assert job.destination.path == f"/projects/{warehouse.client.project}/datasets/{dataset}/tables/made"
    assert warehouse.client.get_table(job.destination).num_rows == 1


def test_no_rows(warehouse: Any, dataset: str) -> None:
    """The statement itself has no rows, however many the table has."""
    assert warehouse.rows(f"create table {dataset}.made as select * from unnest([1, 2, 3]) a") == []


def test_destination_of_select(warehouse: Any, dataset: str) -> None:
    """A SELECT with a destination table keeps it, and its rows can be read."""
    from google.cloud.bigquery import QueryJobConfig

    table = f"{warehouse.client.project}.{dataset}.chosen"
    job = warehouse.client.query("select 1 a", job_config=QueryJobConfig(destination=table))

    assert [row.a for row in job.result()] == [1]
    assert job.destination.table_id == "chosen"


def test_column_list(warehouse: Any, dataset: str) -> None:
    """A table created with a column list from a query, as dbt does under a contract, is filled."""
    warehouse.rows(f"create or replace table {dataset}.contracted (a int64 not null) as (select 1 as a)")

    assert warehouse.rows(f"select a from {dataset}.contracted") == [(1,)]


def test_column_list_refused(warehouse: Any, dataset: str) -> None:
    """If the query breaks the contract, the table stays as it was, rows included."""
    statement = f"create or replace table {dataset}.contracted (a int64 not null) as (select {{}} as a)"
    warehouse.rows(statement.format(1))
    with pytest.raises(BadRequest):
        warehouse.rows(statement.format("cast(null as int64)"))

    assert warehouse.rows(f"select a from {dataset}.contracted") == [(1,)]
