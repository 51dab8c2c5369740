"""require_partition_filter asks for what BigQuery asks for."""

from typing import Any

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud.bigquery import Table

REFUSAL = "without a filter over column"
MERGE = """
    merge {table} t using (select 1 k, timestamp '2026-07-07' at) s on {on}
    when matched then update set k = s.k
    when not matched then insert row
"""


@pytest.fixture
def guarded(warehouse: Any, dataset: str) -> str:
    """A table of one row that needs a filter over `at`."""
    table = f"{dataset}.guarded"
    options = "partition by timestamp_trunc(at, hour) options (require_partition_filter = true)"
    warehouse.rows(f"create table {table} (k int64, at timestamp) {options}")
    warehouse.rows(f"insert into {table} values (1, timestamp '2026-07-07')")
    return table


@pytest.mark.parametrize(
    "on",
    [
        "t.k = s.k and t.at >= timestamp '2026-07-01'",
        "t.k = s.k and t.at between timestamp '2026-07-01' and timestamp '2026-07-31'",
    ],
)
def test_merge(warehouse: Any, guarded: str, on: str) -> None:
    """MERGE runs where ON compares the target's partition column with a constant."""
    warehouse.rows(MERGE.format(table=guarded, on=on))
    assert warehouse.rows(f"select count(*) from {guarded} where at > '2026-01-01'") == [(1,)]


@pytest.mark.parametrize(
    "on", ["t.k = s.k", "t.k = s.k and t.at = s.at", "t.k = s.k and s.at > timestamp '2026-01-01'"]
)
def test_merge_refused(warehouse: Any, guarded: str, on: str) -> None:
    """MERGE is refused where ON leaves the target's partitions open."""
    with pytest.raises(BadRequest, match=REFUSAL):
        warehouse.rows(MERGE.format(table=guarded, on=on))


def test_merge_replacing_partitions(warehouse: Any, guarded: str) -> None:
    """The predicate may stand in a WHEN clause: dbt's static insert_overwrite."""
    warehouse.rows(
        f"merge {guarded} t using (select 2 k, timestamp '2026-07-07' at) s on false "
        "when not matched by source and t.at = timestamp '2026-07-07' then delete "
        "when not matched then insert row"
    )
    assert warehouse.rows(f"select k from {guarded} where at > '2026-01-01'") == [(2,)]


@pytest.mark.parametrize("statement", ["update {table} set k = 2 where k = 1", "delete from {table} where k = 1"])
def test_dml(warehouse: Any, guarded: str, statement: str) -> None:
    """UPDATE and DELETE need the filter in WHERE."""
    with pytest.raises(BadRequest, match=REFUSAL):
        warehouse.rows(statement.format(table=guarded))
    warehouse.rows(statement.format(table=guarded) + " and at > '2026-01-01'")
    assert warehouse.rows(f"select count(*) from {guarded} where at > '2026-01-01' and k = 1") == [(0,)]


def test_query(warehouse: Any, guarded: str) -> None:
    """A query needs the filter."""
    with pytest.raises(BadRequest, match=REFUSAL):
        warehouse.rows(f"select * from {guarded}")
    assert warehouse.rows(f"select k from {guarded} where at > '2026-01-01'") == [(1,)]


@pytest.mark.parametrize("way", ["sql", "api"])
def test_view(warehouse: Any, guarded: str, way: str) -> None:
    """A view is created without a filter and queried with one."""
    view = f"{guarded}_view"
    if way == "sql":
        warehouse.rows(f"create view {view} as select * from {guarded}")
    else:
        table = Table(f"{warehouse.client.project}.{view}")
        table.view_query = f"select * from {guarded}"
        warehouse.client.create_table(table)

    with pytest.raises(BadRequest, match=REFUSAL):
        warehouse.rows(f"select * from {view}")
    assert warehouse.rows(f"select k from {view} where at > '2026-01-01'") == [(1,)]


def test_view_over_view(warehouse: Any, guarded: str) -> None:
    """The filter may use the name that views on the way gave to the column."""
    warehouse.rows(
        f"create view {guarded}_renamed as with raw as (select * from {guarded}) select k, at as seen from raw"
    )
    warehouse.rows(f"create view {guarded}_again as select seen as finally, k from {guarded}_renamed")

    with pytest.raises(BadRequest, match=REFUSAL):
        warehouse.rows(f"select * from {guarded}_again where k = 1")
    assert warehouse.rows(f"select k from {guarded}_again where finally > '2026-01-01'") == [(1,)]


def test_view_with_filter(warehouse: Any, guarded: str) -> None:
    """A view that filters by itself needs no more."""
    warehouse.rows(f"create view {guarded}_recent as select k from {guarded} where at > '2026-01-01'")
    assert warehouse.rows(f"select * from {guarded}_recent") == [(1,)]
