"""The status as people read it."""

import io
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from rich.console import Console

from include.config import Source
from stack.airflow_api import DagRun
from stack.status import Health, PartStatus, Status
from stack.view import line, render

STOPPED = Status(
    state=Health.STOPPED,
    problems=(),
    warnings=(),
    source=Source.SIMULATED,
    replay_finished=None,
    airflow_url="http://127.0.0.1:8080",
    airflow_user="admin",
    airflow_password_file="/home/airflow/passwords.json",
    warehouse_url="http://127.0.0.1:9050",
    project="market-pulse",
    datasets={
        "raw": "pulse_sim_raw",
        "ops": "pulse_sim_ops",
        "staging": "pulse_sim_staging",
        "marts": "pulse_sim_marts",
    },
    spool_dir="/home/spool/simulated",
    streamer_url="http://127.0.0.1:9108",
    simulator_url="http://127.0.0.1:9444",
    parts={},
    capture=None,
    segments=None,
    figures=None,
    last_run=None,
)
BATCH = {
    "records": 1471,
    "segments": 2,
    "composed_at": "2026-11-22T10:51:21.419226Z",
    "loaded_at": "2026-11-22T10:51:22.461000Z",
    "transformed_at": None,
}
RUNNING = msgspec.structs.replace(
    STOPPED,
    state=Health.HEALTHY,
    parts={"streamer": PartStatus("running", 1, 5.0)},
    capture={"state": "streaming", "messages_per_second": 26.1, "messages_total": 1444},
    segments={"active": 1, "sealed": 3},
    figures={"mart_rows": {"fct_trades": 437}, "last_batch": BATCH, "traded_until": None, "freshness_seconds": 75.0},
    last_run=DagRun(
        run_id="r", state="success", started_at=datetime(2026, 11, 22, 10, 51, tzinfo=UTC), duration_seconds=21.4
    ),
)


def shown(status: Status, password: str | None = None) -> str:
    """The panel as text."""
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(status, password))
    return console.export_text()


def test_a_running_stack_shows_what_the_user_came_for() -> None:
    """Where the UI is and how to log in, rate, segments, last batch, rows, freshness, last run."""
    text = shown(RUNNING, "s3cret[/]")
    expected = [
        "http://127.0.0.1:8080",
        "s3cret[/]",
        "26.1/s",
        "sealed 3",
        "1,471 rows in 2",
        "loaded",
        "fct_trades 437",
    ]
    expected += ["75 s old", "success   21 s", "streamer running"]
    assert [each for each in expected if each not in text] == []


def test_problems_and_warnings_are_shown() -> None:
    """Nothing that is wrong hides behind figures."""
    degraded = msgspec.structs.replace(
        RUNNING, state=Health.DEGRADED, problems=("streamer is fatal",), warnings=("torn",)
    )
    assert "✗ streamer is fatal" in shown(degraded)
    assert "! torn" in shown(degraded)
    assert "degraded" in line(degraded)
    assert "streamer is fatal" in line(degraded)


def test_a_stopped_stack_says_how_to_start() -> None:
    """No figures, one command."""
    assert "make run" in shown(STOPPED)


@pytest.mark.parametrize("missing", ["capture", "segments", "figures", "last_run"])
def test_what_cannot_be_had_is_left_out(missing: str) -> None:
    """A part that does not answer costs its own line only."""
    partial: dict[str, Any] = {missing: None}
    assert "Airflow" in shown(msgspec.structs.replace(RUNNING, **partial))


def test_empty_marts_are_not_an_error() -> None:
    """The first minutes of a new stack."""
    empty: dict[str, Any] = {"mart_rows": {}, "last_batch": None, "traded_until": None, "freshness_seconds": None}
    assert "empty" in shown(msgspec.structs.replace(RUNNING, figures=empty))


def test_one_line_holds_the_figures() -> None:
    """Where there is no terminal."""
    assert "\n" not in line(RUNNING)
    assert "26.1/s" in line(RUNNING)
    assert "fct_trades 437" in line(RUNNING)
