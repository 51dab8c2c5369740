"""The steps of market_pulse_backfill as Airflow tasks. As in `tasks`, imports are inside the tasks."""

# mypy: disallow-untyped-decorators=False

import contextlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task

from include.config import load
from market_pulse.backfill_params import CONCURRENCY_MAX, FIRST_STEPS

if TYPE_CHECKING:
    from include.config import BackfillConfig
    from include.pipeline.backfill.request import BackfillRequest
    from include.warehouse import Warehouse

MAIN_DAG = "market_pulse"
log = logging.getLogger(__name__)


@task
def check_request() -> dict[str, Any]:
    """Whether the request makes sense; a refusal says what to change and is not tried again."""
    from include.config import BackfillConfig
    from include.pipeline.backfill.request import BackfillRequest

    with _refusals():
        request = BackfillRequest.of(get_current_context()["params"], load(BackfillConfig), datetime.now(UTC))
    return _report(request.to_dict())


@task.branch
def choose_mode(request: dict[str, Any]) -> str:
    """The first task of the mode; the others are skipped."""
    return FIRST_STEPS[request["mode"]]


@task
def plan_refetch(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Find the ids of the window, leave out what is there, spread the rest over lanes; none in a dry run."""
    from include.pipeline.backfill.plan import estimate
    from include.pipeline.backfill.plan import plan_refetch as step
    from market_pulse.tasks import _run_id, _spool, _warehouse

    asked = _request(request)
    with _refusals():
        plan = step(_spool()[0], _warehouse(), _config(), asked, run_id=_run_id())
    get_current_context()["ti"].xcom_push(key="estimate", value=_report(estimate(plan)))
    if asked.dry_run:
        return []
    return [
        {"lane": number, "label": ", ".join(dict.fromkeys(piece.product_id for piece in lane))}
        for number, lane in enumerate(plan.lanes, start=1)
    ]


@task(map_index_template="{{ lane_label }}", max_active_tis_per_dagrun=CONCURRENCY_MAX, retries=10)
def refetch_trades(lane: dict[str, Any]) -> dict[str, Any]:
    """Fetch one lane, page by page, into the spool. Killed, it goes on at the page it was at."""
    from include.pipeline.backfill.refetch import refetch_lane
    from market_pulse.tasks import _run_id, _spool

    context = get_current_context()
    context["lane_label"] = f"{lane['lane']}: {lane['label']}"
    instance = context["ti"]

    def tell(figures: dict[str, Any]) -> None:
        instance.xcom_push(key="progress", value=figures)

    return _report(refetch_lane(_spool()[0], _config(), run_id=_run_id(), lane=lane["lane"], tell=tell))


@task
def replay_archive(request: dict[str, Any]) -> None:
    """Put archived segments back for market_pulse to load, or load them into the datasets of another prefix."""
    from include.pipeline.backfill.replay import restore_batches
    from include.pipeline.replaying import replay
    from market_pulse.tasks import _run_id, _spool, _warehouse

    asked = _request(request)
    spool, config = _spool()
    window: dict[str, Any] = {"received_from": asked.start, "received_to": asked.end, "run_id": _run_id()}
    with _refusals():
        if asked.dataset_prefix:
            target = _warehouse_of(asked.dataset_prefix)
            outcome = replay(spool, _warehouse(), target, config, dry_run=asked.dry_run, **window)
        else:
            outcome = restore_batches(spool, _warehouse(), config, dry_run=asked.dry_run, **window)
    get_current_context()["ti"].xcom_push(key="outcome", value=_report(outcome))


@task.branch
def choose_way(request: dict[str, Any]) -> str | None:
    """Who makes the marts of a replay: market_pulse, or dbt in the datasets of the prefix. Nobody in a dry run."""
    if request["dry_run"]:
        return None
    return "replay.build_other_marts" if request["dataset_prefix"] else "replay.start_market_pulse"


@task
def build_other_marts(request: dict[str, Any]) -> dict[str, Any]:
    """The marts in the datasets of the prefix, whole: no schedule works there."""
    import os
    import subprocess
    import tempfile

    from include.warehouse.dbt_environment import dbt_environment
    from market_pulse.transform import DBT_PROJECT

    config = _warehouse_of(request["dataset_prefix"]).config
    project = str(DBT_PROJECT)
    with tempfile.TemporaryDirectory(prefix="backfill-dbt-") as target:
        subprocess.run(
            ["dbt", "build", "--project-dir", project, "--profiles-dir", project, "--target-path", target,
             "--log-path", target],
            check=True,
            env={**os.environ, **dbt_environment(config)},
        )  # fmt: skip
    return _report({"marts": config.datasets().marts})


@task
def plan_rebuild(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The days to make again, each a run of market_pulse; none in a dry run."""
    import msgspec

    from include.pipeline.backfill.rebuild import plan_rebuild as step
    from market_pulse.tasks import _run_id, _warehouse

    asked = _request(request)
    with _refusals():
        days = step(_warehouse(), asked, datetime.now(UTC))
    get_current_context()["ti"].xcom_push(key="days", value=msgspec.to_builtins(days))
    for day in days:
        log.info("%s: %d trades in raw, %d in the marts", day.day, day.trades_in_raw, day.trades_before)
    if asked.dry_run:
        return []
    return [
        {"trigger_run_id": f"rebuild__{day.day}__{_run_id()}", "conf": {"rebuild": day.window.to_dict()}}
        for day in days
    ]


@task(trigger_rule="none_failed")
def report_backfill(request: dict[str, Any]) -> dict[str, Any]:
    """What was asked, found, inserted, already there, and is still missing."""
    asked = _request(request)
    head = {
        "mode": asked.mode.value,
        "window_start": request["start"],
        "window_end": request["end"],
        "dry_run": asked.dry_run,
    }
    reports = {"refetch": _refetch_report, "replay": _replay_report, "rebuild": _rebuild_report}
    report = head | reports[asked.mode](asked)
    for name, value in report.items():
        log.info("%-24s %s", name, value)
    return report


def _refetch_report(asked: "BackfillRequest") -> dict[str, Any]:
    from include.pipeline.backfill.report import report_refetch
    from market_pulse.tasks import _run_id, _spool, _warehouse

    if asked.dry_run:
        return dict(_pulled("refetch.plan_refetch", "estimate"))
    return report_refetch(_spool()[0], _warehouse(), asked, run_id=_run_id())


def _replay_report(asked: "BackfillRequest") -> dict[str, Any]:
    outcome: dict[str, Any] = _pulled("replay.replay_archive", "outcome")
    if asked.dry_run:
        return outcome
    records = outcome["records"]
    there = outcome.get("loaded_records", records)
    return {
        "asked": records,
        "already_there": records - there,
        "found": records,
        "inserted": there,
        "still_missing": 0,
    } | outcome


def _rebuild_report(asked: "BackfillRequest") -> dict[str, Any]:
    import msgspec

    from include.pipeline.backfill.rebuild import Day, report_rebuild
    from market_pulse.tasks import _warehouse

    days = msgspec.convert(_pulled("rebuild.plan_rebuild", "days"), list[Day])
    if asked.dry_run:
        return {day.day: {"in_raw": day.trades_in_raw, "in_marts": day.trades_before} for day in days}
    return report_rebuild(_warehouse(), days)


def _pulled(task_id: str, key: str) -> Any:
    return get_current_context()["ti"].xcom_pull(task_ids=task_id, key=key)


def _warehouse_of(prefix: str) -> "Warehouse":
    """The warehouse under another prefix."""
    import msgspec

    from include.config import WarehouseConfig
    from include.warehouse import Warehouse

    return Warehouse.connect(msgspec.structs.replace(load(WarehouseConfig), dataset_prefix=prefix))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What a person has to change fails at once: a retry would only repeat the refusal."""
    from airflow.sdk.exceptions import AirflowFailException

    from include.pipeline.backfill.request import RequestRefused
    from include.pipeline.replaying import ReplayError

    try:
        yield
    except (RequestRefused, ReplayError) as error:
        log.error("refused: %s", error)  # a line to read, before the traceback that Airflow logs
        raise AirflowFailException(f"refused: {error}") from None


def _request(fields: dict[str, Any]) -> "BackfillRequest":
    from include.pipeline.backfill.request import BackfillRequest

    return BackfillRequest.from_dict(fields)


def _config() -> "BackfillConfig":
    from include.config import BackfillConfig

    return load(BackfillConfig)


def _report(outcome: dict[str, Any]) -> dict[str, Any]:
    log.info("outcome: %s", outcome)
    return outcome
