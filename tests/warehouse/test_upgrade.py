"""Tables that an earlier release made become today's, with their rows.

`earlier_release/` has schema files as they were before columns for the exchange's status were added.
"""

import shutil
from pathlib import Path

import pytest

from include.config import WarehouseConfig
from include.warehouse import table_specs
from include.warehouse.table_specs import SCHEMAS, load_spec
from include.warehouse.tables import full_id
from include.warehouse.warehouse import Warehouse

EARLIER = Path(__file__).parent / "earlier_release"


def test_tables_of_an_earlier_release_get_the_new_columns_and_keep_their_rows(
    config: WarehouseConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What `prepare` does at an upgrade: columns are added, rows stay as they are, the second time nothing is done."""
    warehouse = Warehouse.connect(config)
    shutil.copytree(SCHEMAS, tmp_path / "schemas")
    shutil.copytree(EARLIER, tmp_path / "schemas", dirs_exist_ok=True)
    monkeypatch.setattr(table_specs, "SCHEMAS", tmp_path / "schemas")
    warehouse.prepare()
    messages = full_id(config, "raw", "messages")
    columns = {field.name for field in warehouse.client.get_table(messages).schema}
    required = [field for field in load_spec("messages").schema if field.mode == "REQUIRED"]
    values = {"TIMESTAMP": "timestamp '2026-07-07 22:58:16.123456+00'", "INTEGER": "7", "STRING": "'old'"}
    warehouse.client.query_and_wait(
        f"insert into `{messages}` ({', '.join(field.name for field in required)})"
        f" values ({', '.join(values[field.type] for field in required)})"
    )

    monkeypatch.setattr(table_specs, "SCHEMAS", SCHEMAS)
    assert messages in warehouse.prepare()

    added = {field.name for field in warehouse.client.get_table(messages).schema} - columns
    assert added >= {"products", "currencies"}
    (row,) = warehouse.client.query_and_wait(
        f"select * from `{messages}` where received_at > timestamp '2026-07-01 00:00:00+00'"
    )
    assert all(row[name] is None for name in added)
    assert {row[field.name] for field in required if field.type == "STRING"} == {"old"}
    assert warehouse.prepare() == []
