"""The notifier as Airflow calls it, with the callbacks of the DAG files, to receivers on this machine."""

import asyncio
import errno
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.alerting.receivers import Receivers

#: The first test waits for dbt and for the import of all providers.
pytestmark = pytest.mark.timeout(300)

REPO = Path(__file__).resolve().parents[2]
DAGS = REPO / "dags"


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Receivers]:
    """All channels, on this machine; the warehouse answers there too."""
    with Receivers() as receivers:
        for name, value in receivers.settings().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PULSE_HOME", str(tmp_path))
        monkeypatch.setenv("PULSE_SOURCE", "simulated")
        monkeypatch.setenv("PULSE_WAREHOUSE_URL", receivers.address)
        yield receivers


@pytest.fixture(scope="session")
def dagbag(manifest: Path) -> Any:
    """The DAG files, parsed once."""
    from airflow.dag_processing.dagbag import BundleDagBag

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULSE_DBT_MANIFEST", str(manifest))
        return BundleDagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags")


@pytest.fixture
def dags(dagbag: Any) -> Any:
    """The DAGs by id."""
    return dagbag.dags


def task_context(dag: Any, task_id: str, run_id: str, error: BaseException | None) -> dict[str, Any]:
    """What a worker, or the dag-processor for a task that was killed, passes to a task's callback."""
    instance = SimpleNamespace(
        dag_id=dag.dag_id, task_id=task_id, run_id=run_id, log_url=f"http://localhost/{run_id}/{task_id}"
    )
    context = {"dag": dag, "task": dag.get_task(task_id), "ti": instance, "run_id": run_id}
    return context if error is None else context | {"exception": error}


def fail_task(dag: Any, task_id: str, run_id: str, error: BaseException | None = None) -> None:
    """A task's last try failed."""
    (callback,) = listed(dag.get_task(task_id).on_failure_callback)
    callback(task_context(dag, task_id, run_id, error))


def end_run(dag: Any, run_id: str, *, well: bool) -> None:
    """A run ended."""
    (callback,) = listed(dag.on_success_callback if well else dag.on_failure_callback)
    callback({"dag": dag, "run_id": run_id, "reason": "success" if well else "task_failure"})


def listed(callbacks: Any) -> list[Any]:
    return callbacks if isinstance(callbacks, list) else [callbacks]


def miss_deadline(dag: Any, name: str, **run: Any) -> None:
    """A deadline passed: the triggerer runs Airflow's own trigger for it."""
    from airflow.triggers.callback import CallbackTrigger

    (alert,) = [each for each in dag.deadline if each.name == name]
    fields = {"dag_id": dag.dag_id, "dag_run_id": "r1", "state": "running", "queued_at": "t0", "start_date": "t1"}
    context = {"dag_run": fields | run, "deadline": {"id": "d1", "deadline_time": "t2"}}
    trigger = CallbackTrigger(alert.callback.path, {**alert.callback.kwargs, "context": context})

    async def states() -> list[str]:
        return [str(event.payload["state"]) async for event in trigger.run()]

    assert asyncio.run(states()) == ["running", "success"]


def test_sixty_failing_runs_are_one_incident(receivers: Receivers, dags: Any) -> None:
    """Three messages at most on every channel, and one recovery: the callbacks of tasks and runs share one memory."""
    dag = dags["market_pulse"]
    for number in range(60):
        fail_task(dag, "load_segments", f"r{number}", ConnectionError("no route"))
        fail_task(dag, "verify_load", f"r{number}", RuntimeError("load_segments did not end well: see its log"))
        end_run(dag, f"r{number}", well=False)
    end_run(dag, "r60", well=True)
    end_run(dag, "r61", well=True)

    kinds = [each.body["kind"] for each in receivers.webhooks()]
    assert kinds == ["opened", "recovered"]
    assert [each.body["alert"] for each in receivers.webhooks()] == ["warehouse_unreachable"] * 2
    assert "60 times" in receivers.webhooks()[-1].body["details"]["Since"]
    assert [each.body["event_action"] for each in receivers.received["pagerduty"]] == ["trigger", "resolve"]
    assert (len(receivers.received["slack"]), len(receivers.mails())) == (2, 2)
    assert receivers.problems() == []


def test_a_failed_build_names_the_marts_it_leaves_stale(receivers: Receivers, dags: Any) -> None:
    """By what dbt told of each model; the message links the task's log."""
    told = {"fct_trades": "success", "fct_candles_1m": "failed", "fct_candles_1h": "skipped"}
    context = task_context(dags["market_pulse"], "dbt.dbt_build", "r1", RuntimeError("dbt: division by zero"))
    context["ti"].xcom_pull = lambda **_: {
        f"model.market_pulse.{model}": {"verdict": verdict, "message": ""} for model, verdict in told.items()
    }

    (callback,) = listed(dags["market_pulse"].get_task("dbt.dbt_build").on_failure_callback)
    callback(context)

    (message,) = receivers.webhooks()
    assert message.body["alert"] == "transformation_failed"
    assert message.body["details"]["Stale marts"] == "fct_candles_1h, fct_candles_1m"
    assert message.body["log"] == "http://localhost/r1/dbt.dbt_build"


def test_a_task_that_was_killed_is_told_of_without_an_exception(receivers: Receivers, dags: Any) -> None:
    """The dag-processor calls for it, and knows no error."""
    fail_task(dags["market_pulse"], "archive_segments", "r1")

    (message,) = receivers.webhooks()
    assert message.body["alert"] == "task_failed"
    assert "was killed" in message.body["details"]["Cause"]


def test_the_dag_processor_calls_for_runs_and_for_killed_tasks(receivers: Receivers, dagbag: Any) -> None:
    """By its own code, from the requests that the scheduler sends it."""
    import structlog
    from airflow.api_fastapi.execution_api.datamodels.taskinstance import TaskInstance
    from airflow.callbacks.callback_requests import DagCallbackRequest, TaskCallbackRequest
    from airflow.dag_processing.processor import _execute_callbacks

    place = {"filepath": "market_pulse.py", "bundle_name": "dags", "bundle_version": None}
    killed = TaskInstance(
        id=uuid.uuid4(),
        task_id="archive_segments",
        dag_id="market_pulse",
        run_id="r1",
        try_number=1,
        dag_version_id=uuid.uuid4(),
    )
    run = {"dag_id": "market_pulse", **place}

    def process(*requests: Any) -> None:
        _execute_callbacks(dagbag, list(requests), structlog.get_logger())

    process(TaskCallbackRequest(ti=killed, msg="killed", **place))
    process(DagCallbackRequest(run_id="r1", is_failure_callback=True, msg="task_failure", **run))
    process(DagCallbackRequest(run_id="r2", is_failure_callback=False, msg="success", **run))

    assert [(each.body["kind"], each.body["alert"]) for each in receivers.webhooks()] == [
        ("opened", "task_failed"),
        ("recovered", "task_failed"),
    ]
    assert (
        receivers.webhooks()[0].body["log"].endswith("/dags/market_pulse/runs/r1/tasks/archive_segments?try_number=1")
    )


def test_airflow_can_store_the_alarms(dags: Any) -> None:
    """The scheduler knows a DAG by its serialized form only: that it has callbacks, and each deadline."""
    from airflow.serialization.serialized_objects import DagSerialization

    stored = DagSerialization.to_dict(dags["market_pulse"])["dag"]

    assert stored["has_on_failure_callback"]
    assert stored["has_on_success_callback"]
    assert len(stored["deadline"]) == 2


def test_what_is_in_the_spool_is_said_to_be_safe(receivers: Receivers, dags: Any, tmp_path: Path) -> None:
    """Segments that are not loaded, by number and size."""
    from include.spool import RecordEncoder, SegmentWriter, Session, Spool

    spool = Spool.open(tmp_path / "spool" / "simulated", "simulated", create=True)
    session = Session.new("streamer-1", time.time_ns())
    writer = SegmentWriter(spool, session, max_bytes=1 << 20, max_age_seconds=60)
    writer.write(RecordEncoder(session, time.time_ns).control("pulse_started", {}, 0).line)
    writer.close()

    end_run(dags["market_pulse"], "r1", well=False)

    assert receivers.webhooks()[0].body["details"]["Safe in the spool"].startswith("1 segments, ")


def test_a_run_that_hangs_while_the_warehouse_is_away_is_told_of_as_such(
    receivers: Receivers, dags: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadline knows no cause: it looks whether the warehouse answers."""
    monkeypatch.setenv("PULSE_WAREHOUSE_URL", "http://127.0.0.1:9")

    miss_deadline(dags["market_pulse"], "not_ended")

    (message,) = receivers.webhooks()
    assert message.body["alert"] == "warehouse_unreachable"
    assert (
        "Run r1 runs since t1. The warehouse (http://127.0.0.1:9) does not answer" in message.body["details"]["Cause"]
    )


@pytest.mark.parametrize(
    ("deadline", "run", "alert"),
    [
        ("not_ended", {}, "run_late"),
        ("not_ended", {"state": "queued", "start_date": None}, "run_not_started"),
        ("not_started", {"state": "queued", "start_date": None}, "run_not_started"),
        ("not_started", {}, None),
        ("not_ended", {"state": "failed"}, None),
        ("not_ended", {"state": "success"}, None),
    ],
)
def test_a_deadline_is_judged_by_the_state_of_its_run(
    receivers: Receivers, dags: Any, deadline: str, run: dict[str, Any], alert: str | None
) -> None:
    """A run that started in time is not late to start; one that failed was told of when it failed."""
    miss_deadline(dags["market_pulse"], deadline, **run)

    assert [each.body["alert"] for each in receivers.webhooks()] == ([] if alert is None else [alert])


def test_every_task_and_dag_has_its_alarms(dags: Any) -> None:
    """No DAG and no task fails in silence; the main DAG has deadlines for its start and its end."""
    for dag in dags.values():
        assert dag.on_failure_callback
        assert dag.on_success_callback
        silent = [task.task_id for task in dag.tasks if not task.on_failure_callback]
        assert [task_id for task_id in silent if ".models." not in task_id] == [], (
            "models only show what the build says"
        )
    assert {each.name for each in dags["market_pulse"].deadline} == {"not_started", "not_ended"}


def test_all_channels_down_break_nothing(receivers: Receivers, dags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback returns, within the time the channels have; the next one that gets through tells of it."""
    dag = dags["market_pulse"]
    receivers.refusals = {"slack": 500, "pagerduty": 500, "webhook": 500, "smtp": 451}
    fail_task(dag, "close_window", "r1", RuntimeError("boom"))
    assert receivers.received == {}

    receivers.refusals = {"pagerduty": 500}
    fail_task(dag, "seal_segments", "r2", quarantined())

    (message,) = receivers.webhooks()
    assert message.body["alert"] == "segment_quarantined"
    for channel in ("slack", "pagerduty", "webhook", "smtp"):
        assert f"{channel} took no message since" in message.body["details"]["Channels"]


def quarantined() -> Exception:
    from airflow.sdk.exceptions import AirflowFailException

    from include.pipeline.sealing import SegmentsQuarantined

    error = AirflowFailException("1 segment")
    error.__cause__ = SegmentsQuarantined("1 segment")
    return error


def caused_by(cause: Exception) -> Exception:
    error = RuntimeError("wrapped")
    error.__cause__ = cause
    return error


def test_errors_are_told_apart(dags: Any) -> None:
    """By their types, anywhere in the chain of causes, and by the task where the type says nothing."""
    from google.api_core.exceptions import ServiceUnavailable
    from requests.exceptions import ConnectionError as RequestsConnectionError

    from include.pipeline.freshness import CaptureStopped, DataStale
    from include.warehouse.loader import BatchIncomplete, LoadNotStarted
    from market_pulse.failures import classify

    assert classify("load_segments", caused_by(RequestsConnectionError("x"))) == "warehouse_unreachable"
    assert classify("open_window", ServiceUnavailable("x")) == "warehouse_unreachable"
    assert classify("seal_segments", OSError(errno.ENOSPC, "No space left")) == "disk_failing"
    assert classify("seal_segments", quarantined()) == "segment_quarantined"
    assert classify("load_segments", caused_by(LoadNotStarted.__new__(LoadNotStarted))) == "load_failed"
    assert classify("load_segments", caused_by(BatchIncomplete.__new__(BatchIncomplete))) == "batch_waiting"
    assert classify("verify_load", RuntimeError("2 batches wait for a person")) == "batch_waiting"
    assert classify("verify_load", RuntimeError("load_segments did not end well")) == "task_failed"
    assert classify("verify_freshness", caused_by(DataStale("x"))) == "data_stale"
    assert classify("verify_freshness", caused_by(CaptureStopped("x"))) == "capture_stopped"
    assert classify("check_consistency", RuntimeError("3 findings need a person")) == "consistency_broken"
    assert classify("dbt.dbt_test", RuntimeError("x")) == "transformation_failed"
    assert classify("archive_segments", RuntimeError("x")) == "task_failed"
    assert classify("archive_segments", None) == "task_failed"
