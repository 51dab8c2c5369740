"""The DAG files: what they contain, what they cost, what they refuse."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
DAGS = REPO / "dags"

pytestmark = pytest.mark.usefixtures("dag_environment")


def parse() -> Any:
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags")


def parsed_dags() -> Any:
    """The DAGs by id, of a folder that parses without an error."""
    bag = parse()
    assert bag.import_errors == {}
    return bag.dags


def test_the_dag_folder_holds_exactly_the_documented_dags() -> None:
    """Every file imports, and the set of DAG ids is the one the documentation names."""
    bag = parse()

    assert bag.import_errors == {}
    assert set(bag.dags) == {
        "market_pulse",
        "market_pulse_backfill",
        "market_pulse_maintenance",
        "market_pulse_products",
    }
    assert {Path(dag.fileloc).stem for dag in bag.dags.values()} == set(bag.dags), "a DAG is called like its file"


def test_the_steps_follow_one_another() -> None:
    """Sealing, loading, the window, dbt, closing and archiving form one chain."""
    dag = parsed_dags()["market_pulse"]

    chain = ["seal_segments", "load_segments", "load_batch", "open_window", "dbt.dbt_build", "close_window"]
    for upstream, downstream in pairwise(chain):
        assert downstream in dag.get_task(upstream).downstream_task_ids
    assert dag.get_task("close_window").upstream_task_ids == {"dbt.dbt_build", "open_window"}
    assert dag.get_task("archive_segments").upstream_task_ids == {"close_window"}


def test_a_batch_that_waits_for_a_person_does_not_stop_the_others() -> None:
    """What cannot be loaded fails a task beside the transformation: the run is red, the marts are fresh."""
    verify_load = parsed_dags()["market_pulse"].get_task("verify_load")

    assert verify_load.upstream_task_ids == {"load_batch"}
    assert verify_load.downstream_task_ids == {"report_alive"}, "the run is red, and gives no sign of life"
    assert verify_load.trigger_rule == "all_done"


def test_a_backlog_is_mapped_under_a_pool() -> None:
    """Each further batch is a task of its own, so many at once as the pool has slots; none is the usual case."""
    dag = parsed_dags()["market_pulse"]

    load_batch = dag.get_task("load_batch")
    assert load_batch.is_mapped
    assert load_batch.pool == "pulse_load"
    assert dag.get_task("open_window").trigger_rule == "none_failed", "a skipped load_batch does not skip the rest"


def test_the_web_ui_can_draw_every_dag() -> None:
    """Graph and grid sort the children of each group as the scheduler has stored them: no two groups wait for each
    other."""
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in parsed_dags().values():
        stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        groups = stored.task_group.get_task_group_dict().values()
        drawn = [node.node_id for group in groups for node in group.topological_sort()]
        assert set(stored.task_dict) <= set(drawn), dag.dag_id


def test_dbt_is_rendered_as_its_tree() -> None:
    """A group for each folder, a task for each model, an edge for each reference between models."""
    dag = parsed_dags()["market_pulse"]

    groups = {name for name in dag.task_group.get_task_group_dict() if name}
    assert {"dbt.models.staging", "dbt.models.marts", "dbt.models.marts.intermediate"} <= groups
    files = {path.stem for path in (REPO / "include" / "dbt" / "models").rglob("*.sql")}
    models = {task.task_id.split(".")[-1]: task for task in dag.tasks if task.task_type == "DbtModel"}
    assert set(models) == files
    trades = models["fct_trades"]
    assert trades.task_id == "dbt.models.marts.fct_trades"
    assert "dbt.models.staging.coinbase.stg_coinbase__matches" in trades.upstream_task_ids
    assert "dbt.models.marts.fct_candles_1m" in {
        task.task_id for task in dag.tasks if trades.task_id in task.get_flat_relative_ids(upstream=True)
    }


def test_what_waits_for_dbt_cannot_keep_it_from_running() -> None:
    """The tasks of models wait in the triggerer: however many there are, none takes a slot that dbt needs."""
    dag = parsed_dags()["market_pulse"]

    models = [task for task in dag.tasks if task.task_type == "DbtModel"]
    assert all(task.start_from_trigger for task in models)
    assert {task.start_trigger_args.trigger_kwargs["build_task_id"] for task in models} == {"dbt.dbt_build"}
    assert {task.start_trigger_args.trigger_kwargs["unique_id"] for task in models} == {
        f"model.market_pulse.{task.task_id.split('.')[-1]}" for task in models
    }


def test_runs_do_not_overlap_and_do_not_catch_up() -> None:
    """One run at a time, no back-log of runs after a stop: the ledger, not the calendar, says what is to do."""
    dag = parsed_dags()["market_pulse"]

    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.schedule == timedelta(minutes=2)
    assert dag.allowed_run_types is not None
    assert "backfill" not in {str(run_type.value) for run_type in dag.allowed_run_types}, "max_active_runs forgets them"


def test_every_task_retries_and_every_dag_says_how_to_triage() -> None:
    """A task that does something survives a short outage by itself; on-call finds the triage table in the UI."""
    for dag in parsed_dags().values():
        assert all(task.retries >= 1 for task in dag.tasks if task.task_type != "DbtModel")
        assert "what to do" in (dag.doc_md or "")
        assert dag.tags


def test_maintenance_does_its_tasks_one_at_a_time_and_none_waits_for_another() -> None:
    """One that fails keeps no other from its work, and all together load the machine no more than one."""
    dag = parsed_dags()["market_pulse_maintenance"]

    tasks = {"apply_retention", "check_consistency", "check_marts", "clean_metadata", "delete_logs", "write_catalog"}
    assert {task.task_id for task in dag.tasks} == tasks
    assert not any(task.downstream_task_ids for task in dag.tasks)
    assert dag.max_active_tasks == 1
    assert dag.get_task("check_marts").select == ["tag:maintenance"]


def test_maintenance_does_not_begin_with_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The marts it tests are not there yet: its first run waits for its hour. Later on, a missed hour is made good."""
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.trigger import CronTriggerTimetable

    dag = parsed_dags()["market_pulse_maintenance"]
    assert (dag.start_date, dag.catchup) == (None, False)
    timetable = CronTriggerTimetable(dag.schedule.expression, timezone="UTC")
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: datetime(2026, 3, 1, 9, 30, tzinfo=UTC))

    info = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
    )

    assert info is not None
    assert info.run_after == datetime(2026, 3, 1, 15, 10, tzinfo=UTC)


def test_a_new_installation_asks_for_the_products_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dimension is whole with the first marts: the hour missed last is made good, and no earlier one."""
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.trigger import CronTriggerTimetable

    dag = parsed_dags()["market_pulse_products"]
    timetable = CronTriggerTimetable(dag.schedule.expression, timezone="UTC")
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: datetime(2026, 3, 1, 9, 30, tzinfo=UTC))

    info = timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(dag.start_date, None, catchup=dag.catchup),
    )

    assert info is not None
    assert info.run_after == datetime(2026, 3, 1, 6, 40, tzinfo=UTC)


def test_a_missing_manifest_is_a_clear_import_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a dbt manifest the import error names the file and the remedy."""
    monkeypatch.setenv("PULSE_DBT_MANIFEST", str(tmp_path / "none.json"))

    errors = parse().import_errors

    assert any("none.json" in text and "make up" in text for text in errors.values())


def test_a_misspelt_setting_is_a_clear_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PULSE_ variable nobody knows stops the DAG with its name, instead of being ignored."""
    monkeypatch.setenv("PULSE_SCHEDULE_SECOND", "60")

    errors = parse().import_errors

    assert any("PULSE_SCHEDULE_SECONDS" in text for text in errors.values())


def test_parsing_a_dag_file_imports_neither_bigquery_nor_dbt() -> None:
    """The heavy libraries are imported by tasks only: a DAG file is parsed all day."""
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{REPO}:{REPO / 'plugins'}",
        "AIRFLOW_HOME": os.environ.get("PULSE_HOME", ""),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(DAGS / "market_pulse.py")],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )

    modules = set(done.stdout.split())
    assert "google.cloud.bigquery" not in modules
    assert "dbt.cli" not in modules
