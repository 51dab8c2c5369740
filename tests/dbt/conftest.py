"""The real dbt on the real local warehouse, with raw and ledger tables made as the product makes them."""

import contextlib
import gc
import hashlib
import io
import itertools
import json
import os
import socket
import subprocess
import time
import urllib.request
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from include.config import WarehouseConfig
from include.warehouse import client as warehouse_client
from include.warehouse import tables
from include.warehouse.dbt_environment import dbt_environment
from include.warehouse.table_specs import load_spec
from include.warehouse.window import WINDOW_VARIABLES
from tests.dbt.feed import LoadedBatch

ROOT = Path(__file__).parents[2]
DBT_PROJECT = ROOT / "include" / "dbt"
WAREHOUSE_PYTHON = ROOT / ".venvs" / "warehouse" / "bin" / "python"
START_SECONDS = 60

#: The models that a window changes. The views of staging are there before any test.
INCREMENT = ("run", "--select", "config.materialized:incremental")

#: The marts among them.
STORED = ("fct_tickers", "fct_trades", "fct_candles_1m", "fct_trades_daily", "dim_products", "rpt_feed_health")

#: What the rows of a mart are ordered by in comparisons.
KEYS = {
    "dim_dates": ("traded_date",),
    "dim_times": ("time_key",),
    "dim_sides": ("side_key",),
    "fct_tickers": ("product_id", "trade_id"),
    "fct_trades": ("product_id", "trade_id"),
    "fct_candles_1m": ("product_id", "candle_at"),
    "fct_candles_5m": ("product_id", "candle_at"),
    "fct_candles_1h": ("product_id", "candle_at"),
    "fct_candles_1d": ("product_id", "candle_at"),
    "fct_trades_daily": ("product_id", "traded_date"),
    "fct_market_hourly": ("product_id", "hour_at"),
    "fct_completeness_hourly": ("product_id", "hour_at"),
    "dim_products": ("product_id",),
    "dim_product_history": ("product_id", "version_no"),
    "rpt_feed_health": ("hour_at", "session_id", "product_id"),
    "rpt_pipeline_batches": ("batch_id",),
    "rpt_dead_letters": ("segment", "line_no"),
    "rpt_schema_drift": ("message_type", "field_name", "drift_kind"),
    "rpt_freshness": ("product_id",),
}

#: By what a stored mart is partitioned; one without is one partition.
PARTITIONS = {"rpt_feed_health": "received_date", "dim_products": None}

type Row = dict[str, Any]


class DbtRun:
    """What one dbt command did: its success, the status of every node by name, the names of the events it fired."""

    def __init__(self, result: Any, events: set[str]) -> None:
        self.succeeded: bool = result.success
        self.error: str = str(result.exception or "")
        self.events = events
        self.result: Any = result.result
        nodes = getattr(result.result, "results", None) or ()
        self.models: set[str] = {node.node.name for node in nodes if node.node.resource_type == "model"}
        self.statuses: dict[str, str] = {node.node.name: str(node.status) for node in nodes}
        self.messages: dict[str, str] = {node.node.name: node.message or "" for node in nodes}
        self.compiled: list[str] = [node.node.compiled_code for node in nodes]

    def of_status(self, *statuses: str) -> dict[str, str]:
        """Name → message of the nodes that ended so."""
        return {name: self.messages[name] for name, status in self.statuses.items() if status in statuses}


class Dbt:
    """dbt commands of this project in this process, as Cosmos runs them, with the environment the product gives it.

    The project is parsed once; `run` takes what was parsed, `run_anew` lets dbt find out whether something changed.
    """

    def __init__(self, config: WarehouseConfig, target: Path) -> None:
        self.config = config
        self.target = target
        self._manifest: Any = None
        self._environment = {
            **dbt_environment(config),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target / "logs"),
            "DBT_PROJECT_DIR": str(DBT_PROJECT),
            "DBT_PROFILES_DIR": str(DBT_PROJECT),
        }

    def run(self, *command: str, window: Mapping[str, str] | None = None) -> DbtRun:
        """One dbt command; without a window as if run by hand."""
        if self._manifest is None:
            self._manifest = self._invoke(("parse",), {}).result
            assert self._manifest, "the project does not parse"
        run = self._invoke(command, window or {}, self._manifest)
        if run.error:  # what was given inline and failed is left in the manifest
            for name in [name for name in self._manifest.nodes if name.startswith("sql_operation.")]:
                del self._manifest.nodes[name]
        return run

    def run_anew(self, *command: str, window: Mapping[str, str] | None = None) -> DbtRun:
        """One dbt command that parses what changed since the last one."""
        return self._invoke(command, window or {})

    def _invoke(self, command: Sequence[str], window: Mapping[str, str], manifest: Any = None) -> DbtRun:
        from dbt.cli.main import dbtRunner

        events: set[str] = set()
        with _environment(self._environment | dict(window)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dbt's own
            runner = dbtRunner(manifest=manifest, callbacks=[lambda event: events.add(event.info.name)])
            run = DbtRun(runner.invoke(["--quiet", *command]), events)
            gc.collect()  # a command that failed leaves a pool of threads in its traceback, which warns when it goes
        return run


class Market:
    """What was received and loaded, and the marts that dbt makes of it."""

    def __init__(self, dbt: Dbt) -> None:
        self.dbt = dbt
        self.config = dbt.config
        self.client = warehouse_client.connect(self.config)
        tables.ensure(self.client, self.config)

    def clear(self) -> None:
        """Nothing is received, nothing made of it. Views stay: they hold no data, and most models are views."""
        for dataset in self.config.datasets():
            for item in self.client.list_tables(dataset):
                if item.table_type == "TABLE":
                    self.client.delete_table(item.reference)
        tables.ensure(self.client, self.config)

    def load_raw(self, batches: Iterable[LoadedBatch]) -> None:
        """The load jobs of these batches are done; the ledger need not know it yet."""
        self._load("messages", [row for batch in batches for row in batch.raw_rows()])

    def load_ledger(self, batches: Iterable[LoadedBatch]) -> None:
        """The books say that these batches are loaded, and what was found in them."""
        batches = list(batches)
        self._load("batches", [batch.ledger_row() for batch in batches])
        self._load("dead_letters", [letter for batch in batches for letter in batch.dead_letters])
        self._load("drift_observations", [seen for batch in batches for seen in batch.drift])

    def rows(self, sql: str) -> list[Row]:
        """Result of a query; `{marts}` and the like stand for the datasets."""
        return [dict(row) for row in self.client.query_and_wait(sql.format(**self.config.datasets()._asdict()))]

    def scans(self, sql: str) -> list[Row]:
        """Run a query; of each stored table it reads, how many files were opened (`read`) of how many there are."""
        request = urllib.request.Request(f"{self.config.warehouse_url}/explain", sql.encode())
        with urllib.request.urlopen(request) as answer:
            found: list[Row] = json.load(answer)
            return found

    def mart(self, name: str) -> list[Row]:
        """All of a mart, by product and its other key."""
        return self.rows(f"select * from {{marts}}.{name} order by {', '.join(KEYS[name])}")

    def hashes(self) -> dict[tuple[str, object], str]:
        """(stored mart, partition) → hash of its rows."""
        rows: dict[tuple[str, object], list[str]] = defaultdict(list)
        for name in STORED:
            partition = PARTITIONS.get(name, "traded_date")
            for row in self.mart(name):
                rows[name, partition and row[partition]].append(repr(sorted(row.items())))
        return {key: hashlib.sha256("\n".join(lines).encode()).hexdigest() for key, lines in rows.items()}

    def differences(self, expected: Mapping[str, list[Row]]) -> dict[str, object]:
        """Of the marts that are not as expected, the first row that differs, as it is and as it should be."""
        found: dict[str, object] = {}
        for name, rows in expected.items():
            there = self.mart(name)
            if there != rows:
                pairs = itertools.zip_longest(there, rows, fillvalue=dict[str, Any]())
                found[name] = next(
                    {
                        column: (is_.get(column), should.get(column))
                        for column in is_ | should
                        if is_.get(column) != should.get(column)
                    }
                    for is_, should in pairs
                    if is_ != should
                )
        return found

    def _load(self, table: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        spec = load_spec(table)
        body = b"\n".join(json.dumps(row).encode() for row in rows)
        job_config = bigquery.LoadJobConfig(
            source_format="NEWLINE_DELIMITED_JSON", schema=tables.load_schema(spec), write_disposition="WRITE_APPEND"
        )
        destination = tables.full_id(self.config, spec.dataset, table)
        self.client.load_table_from_file(io.BytesIO(body), destination, job_config=job_config).result()


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in WINDOW_VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in bound:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in bound]


@pytest.fixture(scope="session")
def warehouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local warehouse for all tests, which can tell what a query read."""
    port, grpc_port = _free_ports(2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")} | {
        "PULSE_WAREHOUSE_DIR": str(tmp_path_factory.mktemp("warehouse")),
        "PULSE_WAREHOUSE_PORT": str(port),
        "PULSE_WAREHOUSE_GRPC_PORT": str(grpc_port),
    }
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([WAREHOUSE_PYTHON, "-m", "bench.explaining_warehouse"], cwd=ROOT, env=environment) as process:
        try:
            _wait_for(f"{url}/healthz", process)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=START_SECONDS):
            return
        assert process.poll() is None, f"the warehouse ended with {process.returncode}"
        assert time.monotonic() < deadline, f"no answer from {url} in {START_SECONDS} s"


@pytest.fixture(scope="session")
def dbt(warehouse_url: str, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """dbt on the warehouse, with the views of staging. One for all tests, so that the project is parsed once."""
    dbt = Dbt(WarehouseConfig(warehouse_url=warehouse_url), tmp_path_factory.mktemp("dbt"))
    tables.ensure(warehouse_client.connect(dbt.config), dbt.config)
    run = dbt.run("run", "--select", "path:models/staging")
    assert run.succeeded, run.error or run.of_status("error")
    return dbt


@pytest.fixture
def market(dbt: Dbt) -> Market:
    """Empty raw and ledger tables, and no marts yet."""
    market = Market(dbt)
    market.clear()
    return market
