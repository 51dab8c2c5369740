"""The status figures, the command line, and what importing costs."""

import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from include.config import WarehouseConfig
from include.warehouse.__main__ import main
from include.warehouse.batches import Batch
from include.warehouse.client import connect
from include.warehouse.status import Figures, figures
from include.warehouse.warehouse import Warehouse


def test_before_the_first_run_there_are_no_figures_and_no_error(config: WarehouseConfig) -> None:
    """The status view starts before the datasets exist."""
    assert figures(connect(config), config) == Figures(
        mart_rows={}, last_batch=None, traded_until=None, freshness_seconds=None
    )


def test_the_figures_tell_rows_last_batch_and_freshness(new_warehouse: Warehouse, batch: Callable[..., Batch]) -> None:
    """Freshness looks at trades that are in the marts, not at what is only loaded."""
    client, config, ledger = new_warehouse.client, new_warehouse.config, new_warehouse.ledger
    client.query_and_wait(
        f"create table `{config.datasets().marts}.fct_trades` as select 1 as trade_id union all select 2"
    )
    client.query_and_wait(f"create view `{config.datasets().marts}.rpt_trades` as select 1 as trade_id")
    transformed, loaded = batch(), batch()
    for composed in (transformed, loaded):
        ledger.compose(composed, dag_run_id="run")
        ledger.mark_loaded(composed, job_id="job", output_rows=10, loaded_at=datetime(2026, 7, 7, 23, tzinfo=UTC))
    ledger.mark_transformed([transformed.batch_id], "run")

    found = figures(client, config, now=datetime(2026, 7, 7, 22, 58, 1, 800000, tzinfo=UTC))

    assert found.mart_rows == {"fct_trades": 2}
    assert found.last_batch is not None
    assert (found.last_batch.batch_id, found.last_batch.output_rows) == (loaded.batch_id, 10)
    assert found.traded_until == transformed.traded_at_max == "2026-07-07T22:57:01.800000Z"
    assert found.freshness_seconds == 60


def test_a_warehouse_that_is_away_is_an_error_within_the_time() -> None:
    """The view says so instead of hanging."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config = WarehouseConfig(warehouse_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        started = datetime.now(UTC)
        with pytest.raises(OSError, match="refused"):
            figures(connect(config), config, timeout_seconds=0.5)
    assert (datetime.now(UTC) - started).total_seconds() < 10


@pytest.fixture
def environment(config: WarehouseConfig, monkeypatch: pytest.MonkeyPatch) -> WarehouseConfig:
    """The command line's environment names datasets that do not exist yet."""
    monkeypatch.setenv("PULSE_WAREHOUSE_URL", config.warehouse_url)
    monkeypatch.setenv("PULSE_DATASET_PREFIX", config.dataset_prefix)
    monkeypatch.setenv("PULSE_SOURCE", "simulated")
    return config


def test_the_command_line_prepares_queries_and_reports(
    environment: WarehouseConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """prepare names what it made, query prints JSON rows, status prints the figures."""
    assert main(["prepare"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"market-pulse.{environment.datasets().raw}.messages"

    assert main(["query", "select count(*) as batches, max(loaded_at) as loaded_at from {ops}.batches"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == {"batches": 0, "loaded_at": None}

    assert main(["status"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=Figures).mart_rows == {}


@pytest.mark.parametrize(
    ("arguments", "variables", "status"),
    [
        pytest.param(["query", "select nonsense from nowhere.at_all"], {}, 1, id="refused by the warehouse"),
        pytest.param(["status"], {"PULSE_PROJECT": "No"}, 2, id="a wrong setting"),
    ],
)
def test_the_command_line_fails_with_a_status(
    environment: WarehouseConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    variables: dict[str, str],
    status: int,
) -> None:
    """Scripts can tell a refusal from a wrong setting; the reason goes to stderr."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert main(arguments) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err


def test_what_a_dag_file_imports_does_not_bring_the_client() -> None:
    """A DAG file is parsed every few seconds."""
    program = (
        "import include.pipeline, include.warehouse, sys\n"
        "from include.warehouse import WINDOW_VARIABLES, Window\n"
        "from include.warehouse.dbt_environment import dbt_environment\n"
        "assert not [name for name in sys.modules if name.startswith('google')]\n"
        "from include.pipeline import load_segments\n"
        "from include.warehouse import Warehouse\n"
        "assert 'google.cloud.bigquery' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
