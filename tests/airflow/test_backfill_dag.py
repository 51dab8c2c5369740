"""market_pulse_backfill: what it asks for, and in which order it goes."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("dag_environment")

GOOD: dict[str, Any] = {"window_start": "2026-07-07T00:00:00Z", "window_end": "2026-07-08T00:00:00Z"}


DAGS = Path(__file__).resolve().parents[2] / "dags"


def dag() -> Any:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(dag_folder=str(DAGS / "market_pulse_backfill.py"), bundle_path=DAGS, bundle_name="dags")
    assert bag.import_errors == {}
    return bag.dags["market_pulse_backfill"]


def validated(conf: dict[str, Any]) -> dict[str, Any]:
    """As the REST API and the form do when a run is triggered."""
    params = dag().params
    params.update(conf)
    result: dict[str, Any] = params.validate()
    return result


def test_only_the_window_has_to_be_given() -> None:
    """The rest has defaults: a refetch of what is streamed, of what is missing, by three tasks."""
    params = validated(GOOD)

    assert params == {
        **GOOD,
        "mode": "refetch",
        "products": ["BTC-USD", "ETH-USD", "XRP-USD"],
        "dry_run": False,
        "concurrency": 3,
        "only_missing": True,
        "dataset_prefix": None,
    }
    shown = list(map(dag().params.get_param, params))
    assert all(param.schema["title"] for param in shown)
    assert all(param.description or param.schema["description_md"] for param in shown)


@pytest.mark.parametrize(
    "conf",
    [
        {},
        GOOD | {"window_start": "yesterday"},
        GOOD | {"mode": "repair"},
        GOOD | {"products": ["bitcoin"]},
        GOOD | {"products": "BTC-USD"},
        GOOD | {"products": ["BTC-USD", "BTC-USD"]},
        GOOD | {"concurrency": 0},
        GOOD | {"concurrency": 9},
        GOOD | {"dry_run": "yes"},
        GOOD | {"dataset_prefix": "No-Prefix"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_before_a_run_exists(conf: dict[str, Any]) -> None:
    """The schema of each parameter is checked when a run is triggered."""
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        validated(conf)


def test_one_mode_runs_and_the_report_follows_any_of_them() -> None:
    """The branch names the first task of each mode, and the report takes whatever was not skipped."""
    from market_pulse.backfill_params import FIRST_STEPS

    tasks = dag().task_dict
    report = tasks["report_backfill"]

    assert set(FIRST_STEPS.values()) <= tasks["choose_mode"].downstream_task_ids
    assert report.trigger_rule == "none_failed"
    assert {"refetch.await_marts", "replay.await_replay", "rebuild.rebuild_day"} <= report.upstream_task_ids


def test_nothing_of_it_writes_to_the_warehouse_beside_market_pulse() -> None:
    """One backfill at a time, days one after the other; market_pulse is triggered to load and transform."""
    tasks = dag().task_dict

    assert dag().max_active_runs == 1
    assert dag().schedule is None
    assert tasks["rebuild.rebuild_day"].max_active_tis_per_dagrun == 1
    triggers = [task for task in tasks.values() if getattr(task, "partial_kwargs", {}).get("trigger_dag_id")]
    triggers += [task for task in tasks.values() if getattr(task, "trigger_dag_id", None)]
    assert {task.task_id for task in triggers} == {
        "refetch.start_market_pulse",
        "replay.start_market_pulse",
        "rebuild.rebuild_day",
    }
