"""Datasets, tables and views come from the schema files, idempotently and additively."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.cloud import bigquery

from include.config import WarehouseConfig
from include.warehouse import table_specs, tables
from include.warehouse.batches import Batch
from include.warehouse.table_specs import SCHEMAS, load_specs
from include.warehouse.warehouse import Warehouse


def test_an_empty_project_gets_everything_the_files_describe(config: WarehouseConfig) -> None:
    """Datasets, tables and view, with partitioning, clustering, expiration and the required filter."""
    warehouse = Warehouse.connect(config)
    assert warehouse.prepare() == [
        f"market-pulse.{config.dataset_prefix}_sim_raw.messages",
        f"market-pulse.{config.dataset_prefix}_sim_ops.batches",
        f"market-pulse.{config.dataset_prefix}_sim_ops.dead_letters",
        f"market-pulse.{config.dataset_prefix}_sim_ops.drift_observations",
        f"market-pulse.{config.dataset_prefix}_sim_ops.schema_drift",
        f"market-pulse.{config.dataset_prefix}_sim_ops.segments",
    ]

    messages = warehouse.client.get_table(warehouse.messages_id)
    assert messages.time_partitioning.type_ == "HOUR"
    assert messages.time_partitioning.field == "received_at"
    assert messages.time_partitioning.expiration_ms == 60 * 24 * 3600 * 1000
    assert messages.clustering_fields == ["type", "product_id"]
    assert messages.require_partition_filter is True
    assert {dataset.dataset_id for dataset in warehouse.client.list_datasets()} >= set(config.datasets())


def test_the_second_time_nothing_is_changed_or_looked_at(
    new_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One listing a dataset, no request a table: it runs before every load."""
    requests: list[str] = []
    call: Any = new_warehouse.client._connection.api_request

    def record(*args: object, **kwargs: object) -> object:
        requests.append(f"{kwargs['method']} {kwargs['path']}")
        return call(*args, **kwargs)

    monkeypatch.setattr(new_warehouse.client._connection, "api_request", record)

    assert new_warehouse.prepare() == []
    assert len(requests) == 4
    assert all(request.startswith("GET ") and request.endswith("/tables") for request in requests)


def test_a_new_column_is_added_and_rows_stay(
    new_warehouse: Warehouse, batch: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Additive evolution: no rewrite, and columns of a newer release survive an older one."""
    composed = batch()
    new_warehouse.ledger.compose(composed, dag_run_id="run")
    _edit_schemas(
        monkeypatch,
        tmp_path,
        "batches",
        lambda spec: spec["schema"].append({"name": "note", "type": "STRING", "description": "New."}),
    )

    assert new_warehouse.prepare() == [tables.full_id(new_warehouse.config, "ops", "batches")]
    table = new_warehouse.client.get_table(tables.full_id(new_warehouse.config, "ops", "batches"))
    assert table.schema[-1] == bigquery.SchemaField("note", "STRING", description="New.")
    assert [entry.batch for entry in new_warehouse.ledger.unfinished()] == [composed]

    monkeypatch.setattr(table_specs, "SCHEMAS", SCHEMAS)
    new_warehouse.prepare()
    table = new_warehouse.client.get_table(tables.full_id(new_warehouse.config, "ops", "batches"))
    assert table.schema[-1].name == "note"


def test_a_changed_setting_reaches_the_table(new_warehouse: Warehouse) -> None:
    """PULSE_RAW_EXPIRATION_DAYS applies to a table that is there already."""
    config = msgspec.structs.replace(new_warehouse.config, raw_expiration_days=7)

    assert tables.ensure(new_warehouse.client, config) == [new_warehouse.messages_id]
    partitioning = new_warehouse.client.get_table(new_warehouse.messages_id).time_partitioning
    assert partitioning.expiration_ms == 7 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(lambda spec: spec["schema"][7].update(type="STRING"), "records", id="another type"),
        pytest.param(lambda spec: spec["schema"][7].update(mode="NULLABLE"), "records", id="another mode"),
        pytest.param(
            lambda spec: spec["schema"].append(
                {"name": "must", "type": "STRING", "mode": "REQUIRED", "description": "New."}
            ),
            "must",
            id="a new REQUIRED column",
        ),
    ],
)
def test_a_contradiction_is_refused_and_changes_nothing(
    new_warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: Callable[[dict[str, list[dict[str, str]]]], None],
    named: str,
) -> None:
    """Types are never changed in place; the error names the column."""
    table_id = tables.full_id(new_warehouse.config, "ops", "batches")
    before = new_warehouse.client.get_table(table_id).schema
    _edit_schemas(monkeypatch, tmp_path, "batches", change)

    with pytest.raises(tables.SchemaMismatch, match=named):
        new_warehouse.prepare()

    assert new_warehouse.client.get_table(table_id).schema == before


def test_a_changed_view_is_replaced(
    new_warehouse: Warehouse, batch: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The view shows the segments of every batch, by the query in its file."""
    composed = batch()
    new_warehouse.ledger.compose(composed, dag_run_id="run")
    view = tables.full_id(new_warehouse.config, "ops", "segments")
    (row,) = new_warehouse.client.query_and_wait(f"select * from `{view}`")
    assert (row.segment, row.batch_id, row.loaded_at) == (composed.segments[0].segment, composed.batch_id, None)

    _edit_schemas(monkeypatch, tmp_path, "segments", lambda spec: None)
    (tmp_path / "segments.sql").write_text("select count(*) as batches from `{batches}`")
    assert new_warehouse.prepare() == [view]
    (row,) = new_warehouse.client.query_and_wait(f"select * from `{view}`")
    assert row.batches == 1


def test_every_column_is_described() -> None:
    """The schema files are the documentation of the raw and ops tables."""

    def described(fields: tuple[table_specs.Field, ...]) -> bool:
        return all(field.description.endswith(".") and described(field.fields) for field in fields)

    specs = load_specs()
    assert {f"{spec.dataset}.{spec.table}" for spec in specs} == {
        "raw.messages",
        "ops.batches",
        "ops.dead_letters",
        "ops.drift_observations",
        "ops.schema_drift",
        "ops.segments",
    }
    assert all(described(spec.schema) for spec in specs)


def _edit_schemas(monkeypatch: pytest.MonkeyPatch, folder: Path, table: str, change: Callable[..., None]) -> None:
    """Let the code read a copy of the schema files in which one is changed."""
    for path in SCHEMAS.iterdir():
        content = path.read_bytes()
        if path.name == f"{table}.json":
            spec = msgspec.json.decode(content)
            change(spec)
            content = msgspec.json.encode(spec)
        (folder / path.name).write_bytes(content)
    monkeypatch.setattr(table_specs, "SCHEMAS", folder)
