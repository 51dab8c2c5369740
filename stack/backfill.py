"""`make backfill`: triggers market_pulse_backfill over Airflow's REST API and follows the run to its report."""

import time
from collections.abc import Callable
from typing import Any, Final

from stack import web
from stack.airflow_api import AirflowApi, TaskState
from stack.errors import StackError

DAG: Final = "market_pulse_backfill"
_POLL_SECONDS: Final = 2.0
_OVER: Final = frozenset({"success", "failed"})
#: States that are worth a line.
_SHOWN: Final = frozenset({"running", "success", "failed", "up_for_retry", "up_for_reschedule", "upstream_failed"})
_REPORT_TASK: Final = "report_backfill"
_LANES: Final = "refetch.refetch_trades"

Say = Callable[[str], None]


def backfill(api: AirflowApi, conf: dict[str, Any], say: Say) -> dict[str, Any]:
    """Trigger a run and tell of its tasks and its progress; its report.

    Ending this ends nothing: the run goes on, and its report is in the Airflow UI. Raises StackError for parameters
    that are refused and for a run that fails, with the text of what failed.
    """
    try:
        run_id = api.trigger(DAG, conf)
    except web.Unreachable as error:
        raise StackError(f"the backfill was not started: {_reason(error)}") from error
    say(f"started {DAG} {run_id}; it goes on when this is interrupted")
    state = _Follower(api, run_id, say).follow()
    if state != "success":
        raise StackError(f"{DAG} {run_id} {state}: {_failure(api, run_id)}")
    report: dict[str, Any] = api.xcom(DAG, run_id, _REPORT_TASK, "return_value") or {}
    return report


class _Follower:
    """Says what is new of a run."""

    def __init__(self, api: AirflowApi, run_id: str, say: Say) -> None:
        self._api = api
        self._run_id = run_id
        self._say = say
        self._states: dict[tuple[str, int], tuple[str | None, int]] = {}
        self._progress: dict[int, Any] = {}

    def follow(self) -> str:
        """Until the run is over; its state. An API server that is away for a moment is waited for."""
        while True:
            try:
                state = self._api.run_state(DAG, self._run_id)
                self._look()
            except web.Unreachable as error:
                state = f"unknown ({error})"
            if state in _OVER:
                return state
            time.sleep(_POLL_SECONDS)

    def _look(self) -> None:
        for task in self._api.tasks(DAG, self._run_id):
            place = task.task_id, task.map_index
            if self._states.get(place) != (task.state, task.tries):
                self._states[place] = task.state, task.tries
                if task.state in _SHOWN:
                    again = f" (try {task.tries})" if task.tries > 1 else ""
                    self._say(f"{task.state:<18} {_name(task)}{again}")
            if task.task_id == _LANES and task.state == "running":
                self._tell_progress(task)

    def _tell_progress(self, task: TaskState) -> None:
        figures = self._api.xcom(DAG, self._run_id, _LANES, "progress", task.map_index)
        if figures and self._progress.get(task.map_index) != figures:
            self._progress[task.map_index] = figures
            self._say(
                f"{figures['percent']:>5} %            {_name(task)}: {figures['found']:,} trades,"
                f" {figures['requests']:,} requests ({figures['requests_a_second']}/s),"
                f" {figures['refused_429']} times 429, {figures['failed_requests']} failed"
            )


def _name(task: TaskState) -> str:
    return f"{task.task_id} [{task.label or task.map_index}]" if task.map_index >= 0 else task.task_id


def _failure(api: AirflowApi, run_id: str) -> str:
    for task in api.tasks(DAG, run_id):
        if task.state == "failed":
            return f"{_name(task)}: {api.last_error(DAG, run_id, task) or 'see its log in the Airflow UI'}"
    return "see the run in the Airflow UI"


def _reason(error: web.Unreachable) -> str:
    detail = error.body.get("detail") if isinstance(error.body, dict) else None
    return str(detail) if detail else str(error)
