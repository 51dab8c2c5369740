"""A spool and a warehouse of the test's own, and the steps bound to them."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include import pipeline
from include.config import PipelineConfig, Source, WarehouseConfig
from include.spool import Spool
from include.warehouse import Warehouse
from include.warehouse.tables import full_id
from tests.warehouse.local_warehouse import local_warehouse
from tests.warehouse.spools import new_spool

_runs = itertools.count(1)


@dataclass
class Run:
    """The steps over one spool and one warehouse, and what is to be seen afterwards."""

    spool: Spool
    warehouse: Warehouse
    config: PipelineConfig

    def seal(self) -> dict[str, Any]:
        """Step 1."""
        return pipeline.seal_segments(self.spool, self.config)

    def load(self, at_most: int | None = None) -> dict[str, Any]:
        """Step 2."""
        run_id = f"run-{next(_runs)}"
        return pipeline.load_segments(self.spool, self.warehouse, self.config, run_id=run_id, at_most=at_most)

    def rows(self) -> list[tuple[str, int, str]]:
        """(session_id, record_no, type) of every row of raw.messages, sorted."""
        sql = (
            f"select session_id, record_no, type from `{self.warehouse.messages_id}` "
            "where received_at > '2000-01-01' order by session_id, record_no, type"
        )
        return [tuple(row.values()) for row in self.warehouse.client.query_and_wait(sql)]

    def states(self) -> dict[str, int]:
        """Segments by state, states without any left out."""
        return {state.value: usage.segments for state, usage in self.spool.usage().items() if usage.segments}


@pytest.fixture(scope="session")
def _prepared() -> Warehouse:
    config = WarehouseConfig(source=Source.SIMULATED, dataset_prefix="pipeline", warehouse_url=local_warehouse().url)
    warehouse = Warehouse.connect(config)
    warehouse.prepare()
    return warehouse


@pytest.fixture
def run(_prepared: Warehouse, tmp_path: Path) -> Run:
    """An empty spool, an empty ledger and an empty raw.messages."""
    ops = [full_id(_prepared.config, "ops", table) for table in ("batches", "dead_letters", "drift_observations")]
    for table in (*ops, _prepared.messages_id):
        _prepared.client.query_and_wait(f"truncate table `{table}`")
    return Run(new_spool(tmp_path), _prepared, PipelineConfig(load_timeout_seconds=60))
