"""What other datasets hold does not matter to a statement: neither to its result nor to its cost."""

from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import NotFound

RECORDING = str(Path(__file__).parent / "recording_lookups.py")


def test_no_statement_lists_all_tables(own_warehouse: Any, tmp_path: Path) -> None:
    """What the pipeline and dbt do finds its tables without reading anything of all others."""
    notes = tmp_path / "notes"
    own_warehouse.start(RECORDING, str(notes))
    client = own_warehouse.client
    client.create_dataset("d")
    notes.write_text("")  # what is done once, at the start, may

    own_warehouse.rows("create table d.t (a int64 not null, at timestamp) partition by date(at)")
    own_warehouse.load("d.t", [{"a": 1, "at": "2026-07-07T00:00:00Z"}])
    own_warehouse.rows("insert into d.t values (2, timestamp '2026-07-07')")
    own_warehouse.rows("update d.t set a = 3 where a = 2")
    own_warehouse.rows("merge d.t t using (select 4 a) s on t.a = s.a when not matched then insert (a) values (a)")
    own_warehouse.rows("create or replace table d.copy as select * from d.t")
    own_warehouse.rows("create or replace view d.v as select sum(a) total from d.copy")
    assert own_warehouse.rows("select total from d.v") == [(8,)]
    assert [item.table_id for item in client.list_tables("d")] == ["copy", "t", "v"]
    assert client.get_table("d.t").num_rows == 3
    own_warehouse.rows("drop table d.copy")

    assert notes.read_text() == ""


def test_tables_of_one_name_are_kept_apart(warehouse: Any, dataset: str) -> None:
    """Columns, rows and absence are those of the dataset that was asked."""
    client = warehouse.client
    client.create_dataset(f"{dataset}_other")
    warehouse.rows(f"create table {dataset}.t (a int64 not null, b struct<c int64>)")
    warehouse.rows(f"create table {dataset}_other.t (a string, b int64 not null)")
    warehouse.rows(f"create table {dataset}_other.only_there (a int64)")
    warehouse.rows(f"insert into {dataset}_other.t values ('x', 1)")

    modes = [
        [(field.name, field.mode) for field in client.get_table(f"{name}.t").schema]
        for name in (dataset, f"{dataset}_other")
    ]
    assert modes == [[("a", "REQUIRED"), ("b", "NULLABLE")], [("a", "NULLABLE"), ("b", "REQUIRED")]]
    assert [client.get_table(f"{name}.t").num_rows for name in (dataset, f"{dataset}_other")] == [0, 1]
    with pytest.raises(NotFound):
        client.get_table(f"{dataset}.only_there")


def test_a_table_made_again_has_its_new_columns(warehouse: Any, dataset: str) -> None:
    """Neither the old ones nor the table before it was dropped are found."""
    warehouse.rows(f"create table {dataset}.t (a int64 not null)")
    warehouse.rows(f"create or replace table {dataset}.t (a int64, b string not null)")
    warehouse.rows(f"alter table {dataset}.t add column c int64")
    found = warehouse.client.get_table(f"{dataset}.t").schema
    assert [(field.name, field.mode) for field in found] == [("a", "NULLABLE"), ("b", "REQUIRED"), ("c", "NULLABLE")]

    warehouse.rows(f"drop table {dataset}.t")
    with pytest.raises(NotFound):
        warehouse.client.get_table(f"{dataset}.t")
