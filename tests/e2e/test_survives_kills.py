"""kill -9 of each part of the spine, then: nothing lost, nothing twice."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.e2e.harness import RunningStack, eventually, kill_process, running

pytestmark = pytest.mark.long

STEPS = (
    "seal_segments",
    "load_segments",
    "open_window",
    "dbt.dbt_build",
    "close_window",
    "archive_segments",
)


@pytest.fixture(scope="module")
def stack(stack_home: Path) -> Iterator[RunningStack]:
    """A simulated market; runs are started by the tests, but for the first one of a new installation."""
    yield from running(
        stack_home,
        "SOURCE=simulated",
        PULSE_SIMULATOR_RATE="40",
        PULSE_SCHEDULE_SECONDS="86400",
        PULSE_TASK_RETRY_SECONDS="1",
    )


def archived_records(stack: RunningStack) -> list[dict[str, Any]]:
    """Every record of the archived segments, read without the project's own code."""
    folder = Path(stack.known["spool_dir"]) / "archived"
    records: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("*.ndjson.zst")):
        with zstandard.open(path, "rb") as segment:
            records += map(json.loads, segment.read().splitlines())
    return records


def trades_by_product(records: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    trades: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for record in records:
        if record["type"] in {"match", "last_match"}:
            trades[record["product_id"]].setdefault(record["trade_id"], record)
    return trades


@pytest.mark.timeout(300)
def test_a_killed_streamer_comes_back_with_a_new_session(stack: RunningStack) -> None:
    """The streamer dies by kill -9 and captures again, by itself, within seconds."""
    before = stack.get(stack.known["streamer_url"] + "/status")["session_id"]

    kill_process(stack.home, "-m streamer")

    def captures_again() -> bool:
        try:
            status = stack.get(stack.known["streamer_url"] + "/status")
        except OSError:
            return False
        return bool(status["session_id"] != before and status["messages_total"] > 0)

    eventually(captures_again, within=60, what="a new session captures")


@pytest.mark.timeout(1000)
def test_a_run_whose_every_step_is_killed_once_still_succeeds(stack: RunningStack) -> None:
    """The worker of each step in turn dies by kill -9, and the triggerer; all is tried again, the run ends green."""
    eventually(lambda: not stack.unfinished_runs(), within=300, what="the first scheduled run is over")
    run_id = stack.trigger()
    tasks = stack.airflow(f"dags/market_pulse/dagRuns/{run_id}/taskInstances?limit=200")["task_instances"]
    workers = {task["task_id"]: f"airflow worker -- {task['id']}" for task in tasks}

    for step in STEPS:
        kill_process(stack.home, workers[step], within=120)
        if step == "dbt.dbt_build":  # now the tasks of the models wait in it
            kill_process(stack.home, "airflow triggerer")

    eventually(lambda: stack.state_of(run_id) in {"success", "failed"}, within=300, what=f"run {run_id} is over")
    assert stack.state_of(run_id) == "success", stack.tasks_of(run_id)
    tries = {step: stack.airflow(f"dags/market_pulse/dagRuns/{run_id}/taskInstances/{step}") for step in STEPS}
    assert all(task["try_number"] > 1 for task in tries.values()), tries
    models = {task: state for task, state in stack.tasks_of(run_id).items() if task.startswith("dbt.models.")}
    assert len(models) > 20
    assert set(models.values()) == {"success"}, models


@pytest.mark.timeout(600)
def test_a_warehouse_killed_during_a_load_does_not_stop_the_run(stack: RunningStack) -> None:
    """The warehouse dies by kill -9 while a run loads; the run is retried to success."""
    run_id = stack.trigger()
    task = stack.airflow(f"dags/market_pulse/dagRuns/{run_id}/taskInstances/load_segments")
    worker = f"airflow worker -- {task['id']}"  # there for less than a second
    eventually(lambda: stack.has_process(worker), within=120, what="load_segments works", pause_max=0.05)

    kill_process(stack.home, "-m emulator")

    eventually(lambda: stack.state_of(run_id) in {"success", "failed"}, within=300, what=f"run {run_id} is over")
    assert stack.state_of(run_id) == "success", stack.tasks_of(run_id)


@pytest.mark.timeout(600)
def test_after_all_of_it_nothing_is_lost_and_nothing_is_twice(stack: RunningStack) -> None:
    """raw equals the archived spool, the mart equals the simulator's truth but for the time the streamer was dead."""
    records = archived_records(stack)

    # Spool → raw: the same records, each once, numbered without a hole.
    rows = stack.query(
        "select session_id, record_no from {raw}.messages where received_at > timestamp '2020-01-01 00:00:00+00'"
    )
    loaded = sorted((row["session_id"], row["record_no"]) for row in rows)
    assert loaded == sorted((record["session_id"], record["record_no"]) for record in records)
    sessions = {
        session: [number for _, number in group] for session, group in itertools.groupby(loaded, lambda r: r[0])
    }
    assert len(sessions) > 1, "the streamer was killed, so there is more than one session"
    for numbers in sessions.values():
        assert numbers == list(range(1, len(numbers) + 1))

    # Spool → mart → truth.
    marts = stack.query("select product_id, trade_id, price, size, maker_side from {marts}.fct_trades")
    captured = trades_by_product(records)
    assert {(row["product_id"], row["trade_id"]) for row in marts} == {
        (product, trade_id) for product, trades in captured.items() for trade_id in trades
    }
    assert len(marts) == sum(map(len, captured.values()))
    truth = {
        product: {trade["trade_id"]: trade for trade in stack.truth(product, min(trades), max(trades))}
        for product, trades in captured.items()
    }
    for row in marts:
        made = truth[row["product_id"]][row["trade_id"]]
        assert (row["price"], row["size"]) == (Decimal(made["price"]), Decimal(made["size"]))
        assert row["maker_side"] == made["maker_side"]

    # What the truth has and the mart has not was made while no session was connected.
    for product, trades in captured.items():
        missing = truth[product].keys() - trades.keys()
        first_of_session: dict[str, int] = {}
        for record in records:
            if record["type"] == "match" and record["product_id"] == product:
                first_of_session.setdefault(record["session_id"], record["trade_id"])
        starts = sorted(first_of_session.values())
        for trade_id in missing:
            following = next(t for t in range(trade_id, max(trades) + 1) if t in trades)
            assert following in starts or trades[following]["type"] == "last_match", (product, trade_id)
