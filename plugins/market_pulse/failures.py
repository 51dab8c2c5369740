"""What a callback's context says went wrong, as an occurrence of an alert."""

import errno
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from include.alerting import Facts, Occurrence, Waiting
from market_pulse.probe import warehouse_problem

_UNREACHABLE = frozenset(
    {"ConnectionError", "ServiceUnavailable", "GatewayTimeout", "BadGateway", "RetryError", "TransportError", "Timeout"}
)
_LOAD_ERRORS = frozenset({"LoadRefused", "LoadNotStarted", "LoadFailed", "LoadUnfinished"})
_BY_EXCEPTION = {
    "DataStale": "data_stale",
    "CaptureStopped": "capture_stopped",
    "SegmentsQuarantined": "segment_quarantined",
    "BatchIncomplete": "batch_waiting",
    "TooManyBadLines": "batch_waiting",
}
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

#: What says only that something failed: a warehouse that is away explains it.
_UNEXPLAINED = frozenset({"task_failed", "run_failed", "run_late", "run_not_started", "transformation_failed"})


def of_task(context: Mapping[str, Any]) -> Occurrence:
    """A task failed for good, or its process ended without a word."""
    instance, error = context["ti"], context.get("exception")
    detail = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error or "")
    alert_id = classify(instance.task_id, error)
    return _occurrence(
        alert_id,
        scope=instance.dag_id,
        what=f"{instance.dag_id}.{instance.task_id}",
        detail=detail or "The task's process ended without reporting an error: it was killed, or its machine was.",
        run_id=instance.run_id,
        log_url=_log_url(instance),
        stale_marts=_stale_marts(context),
    )


def of_run(context: Mapping[str, Any]) -> Occurrence:
    """A run failed."""
    dag_id, run_id = context["dag"].dag_id, str(context["run_id"])
    return _occurrence(
        "run_failed",
        scope=dag_id,
        what=dag_id,
        detail=f"Run {run_id} failed ({context.get('reason') or 'no reason given'}).",
        run_id=run_id,
        log_url=_run_url(dag_id, run_id),
    )


def of_deadline(run: Mapping[str, Any], *, must_have_ended: bool) -> Occurrence | None:
    """A deadline of a run has passed; None when the run kept it, or failed, which is reported as such."""
    state = str(run["state"])
    if state in {"success", "failed"} or (not must_have_ended and run.get("start_date")):
        return None
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    if must_have_ended and run.get("start_date"):
        alert_id, detail = "run_late", f"Run {run_id} runs since {run['start_date']}."
    else:
        alert_id, detail = "run_not_started", f"Run {run_id} waits since {run.get('queued_at')}."
    return _occurrence(
        alert_id, scope=dag_id, what=dag_id, detail=detail, run_id=run_id, log_url=_run_url(dag_id, run_id)
    )


def classify(task_id: str, error: object) -> str:
    """The alert that an error of a task is."""
    chain = list(_chain(error))
    names = {name for each in chain for name in (base.__name__ for base in type(each).__mro__)}
    for name, alert_id in _BY_EXCEPTION.items():
        if name in names:
            return alert_id
    if any(isinstance(each, OSError) and each.errno in _DISK for each in chain):
        return "disk_failing"
    if task_id != "seal_segments" and names & _UNREACHABLE:
        return "warehouse_unreachable"
    if names & _LOAD_ERRORS:
        return "load_failed"
    return _by_task(task_id, str(error))


def _by_task(task_id: str, text: str) -> str:
    if task_id == "verify_load" and "wait for a person" in text:
        return "batch_waiting"
    if task_id == "check_consistency" and "need a person" in text:
        return "consistency_broken"
    if task_id == "check_marts" or task_id.startswith("dbt."):
        return "transformation_failed"
    return "task_failed"


def _chain(error: object) -> Iterator[BaseException]:
    seen = 0
    while isinstance(error, BaseException) and seen < 10:  # a chain may be a circle
        yield error
        seen += 1
        error = error.__cause__ or error.__context__


def _occurrence(
    alert_id: str, *, scope: str, what: str, detail: str, run_id: str, log_url: str, stale_marts: tuple[str, ...] = ()
) -> Occurrence:
    if alert_id in _UNEXPLAINED and (problem := warehouse_problem()):
        alert_id, detail = "warehouse_unreachable", f"{detail} {problem}"
    return Occurrence(
        alert_id=alert_id,
        scope=scope,
        what=what,
        detail=detail,
        at=datetime.now(UTC),
        run_id=run_id,
        log_url=log_url,
        facts=Facts(stale_marts=stale_marts, waiting=_waiting()),
    )


def _waiting() -> Waiting | None:
    """What lies in the spool and is not loaded; None when that cannot be told."""
    from include.config import PipelineConfig, load
    from include.spool import Spool, SpoolError, State

    config = load(PipelineConfig)
    try:
        spool = Spool.open(config.resolved_spool_dir(), config.resolved_source(), create=False)
        usage = spool.usage((State.ACTIVE, State.SEALING, State.SEALED))
    except (SpoolError, OSError):
        return None
    return Waiting(sum(each.segments for each in usage.values()), sum(each.bytes for each in usage.values()))


def _stale_marts(context: Mapping[str, Any]) -> tuple[str, ...]:
    """The models that a failed dbt build did not build, with those behind them, by what it told of each.

    None of other tasks, and of a build that was killed: then it is all of them. A killed one is reported by the
    dag-processor, which has no XComs.
    """
    from market_pulse.outcomes import OUTCOMES

    instance = context["ti"]
    if not instance.task_id.startswith("dbt.") or "exception" not in context:
        return ()
    told = instance.xcom_pull(task_ids=instance.task_id, key=OUTCOMES) or {}
    return tuple(sorted(model.rsplit(".", 1)[-1] for model, outcome in told.items() if outcome["verdict"] != "success"))


def _log_url(instance: Any) -> str:
    """The page of the task's log. An instance that was rebuilt for a callback may lack what its own address needs."""
    try:
        return str(instance.log_url)
    except (AttributeError, KeyError, TypeError):
        return _run_url(instance.dag_id, instance.run_id)


def _run_url(dag_id: str, run_id: str) -> str:
    from urllib.parse import quote

    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="")).rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{quote(run_id, safe='')}" if base else ""
