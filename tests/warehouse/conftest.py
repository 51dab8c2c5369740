"""A prepared warehouse, and manifests that need no file."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from include.config import Source, WarehouseConfig
from include.spool import Manifest
from include.warehouse.batches import Batch, BatchSegment
from include.warehouse.tables import full_id
from include.warehouse.warehouse import Warehouse
from tests.warehouse.local_warehouse import local_warehouse

_prefixes = (f"wh{number}" for number in itertools.count())


@pytest.fixture
def config() -> WarehouseConfig:
    """Datasets that do not exist yet, on the local warehouse."""
    return _new_config()


@pytest.fixture
def new_warehouse(config: WarehouseConfig) -> Warehouse:
    """Prepared datasets of the test's own, to be altered as it likes."""
    warehouse = Warehouse.connect(config)
    warehouse.prepare()
    return warehouse


@pytest.fixture(scope="session")
def _shared_warehouse() -> Warehouse:
    warehouse = Warehouse.connect(_new_config())
    warehouse.prepare()
    return warehouse


@pytest.fixture
def warehouse(_shared_warehouse: Warehouse) -> Warehouse:
    """Prepared datasets with an empty ledger. raw.messages may hold rows of other tests' batches."""
    ledger_table = full_id(_shared_warehouse.config, "ops", "batches")
    _shared_warehouse.client.query_and_wait(f"delete from `{ledger_table}` where true")
    return _shared_warehouse


def _new_config() -> WarehouseConfig:
    return WarehouseConfig(source=Source.SIMULATED, dataset_prefix=next(_prefixes), warehouse_url=local_warehouse().url)


@pytest.fixture
def manifest() -> Callable[..., Manifest]:
    """Manifests that differ in their segment number; any field can be set."""
    numbers = itertools.count(1)

    def make(**fields: Any) -> Manifest:
        number = next(numbers)
        values: dict[str, Any] = {
            "format_version": 1,
            "segment": f"streamer-1.20260707T225816Z-3f9a2c41.{number:06d}.v1.ndjson",
            "source": "simulated",
            "streamer_id": "streamer-1",
            "session_id": "20260707T225816Z-3f9a2c41",
            "segment_no": number,
            "records": 10,
            "bytes": 1000,
            "first_record_no": number * 10 - 9,
            "last_record_no": number * 10,
            "sha256": f"{number:064x}",
            "received_at_min": f"2026-07-07T22:58:{number % 60:02d}.000001Z",
            "received_at_max": f"2026-07-07T22:58:{number % 60:02d}.900000Z",
            "traded_at_min": f"2026-07-07T22:57:{number % 60:02d}.000002Z",
            "traded_at_max": f"2026-07-07T22:57:{number % 60:02d}.800000Z",
            "types": {"match": 10},
            "product_ids": ["BTC-USD"],
            "torn_bytes": 0,
            "sealed_at": "2026-07-07T23:00:00.000000Z",
        }
        return Manifest(**(values | fields))

    return make


@pytest.fixture
def batch(manifest: Callable[..., Manifest]) -> Callable[..., Batch]:
    """Batches by default of one new segment."""

    def make(*manifests: Manifest) -> Batch:
        segments = tuple(BatchSegment.of(item) for item in manifests or (manifest(),))
        return Batch(source="simulated", table_id="market-pulse.pulse_sim_raw.messages", segments=segments)

    return make
