"""Airflow's REST API, as far as the stack looks at it."""

import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stack import credentials, web

#: The DAG whose runs the status view shows.
MAIN_DAG = "market_pulse"


class DagRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a DAG. `state` is queued, running, success or failed; a running one's duration is its age."""

    run_id: str
    state: str
    started_at: datetime | None
    duration_seconds: float | None


class TaskState(msgspec.Struct, frozen=True):
    """A task of a run; `state` is None before it is scheduled, `map_index` -1 where it is not mapped."""

    task_id: str
    map_index: int
    label: str
    state: str | None
    tries: int


class AirflowApi:
    """A client that logs in when it has to. Every method raises `web.Unreachable`."""

    def __init__(self, url: str, airflow_home: Path) -> None:
        self._url = url
        self._home = airflow_home
        self._token: str | None = None

    def dag_obstacle(self, dag_id: str) -> str | None:
        """None when a DAG is known to the scheduler, else what is missing."""
        try:
            self._get(f"/api/v2/dags/{dag_id}")
        except web.Unreachable as error:
            if error.status != 404:
                raise
            return f"the DAG {dag_id} is not listed yet"
        return None

    def import_errors(self, since: float = 0) -> list[str]:
        """`file: last line of the trace` of every DAG file that cannot be imported, as found after `since` (epoch)."""
        errors = self._get("/api/v2/importErrors")["import_errors"]
        recent = [error for error in errors if datetime.fromisoformat(error["timestamp"]).timestamp() >= since]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in recent]

    def last_run(self, dag_id: str) -> DagRun | None:
        """The DAG's latest run, or None."""
        try:
            runs = self._get(f"/api/v2/dags/{dag_id}/dagRuns?limit=1&order_by=-start_date")["dag_runs"]
        except web.Unreachable as error:
            if error.status == 404:
                return None
            raise
        return _dag_run(runs[0]) if runs else None

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; its id. A conf that the DAG's parameters refuse is an Unreachable with status 400."""
        body = {"logical_date": None, "conf": conf}
        return str(
            self._authorized(lambda headers: self._post(f"/api/v2/dags/{dag_id}/dagRuns", body, headers))["dag_run_id"]
        )

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self._get(f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The tasks of a run that began last, a hundred at most, in the order in which they began."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances?limit=100&order_by=-start_date"
        return [
            TaskState(
                task["task_id"],
                task["map_index"],
                task.get("rendered_map_index") or "",
                task["state"],
                task["try_number"],
            )
            for task in reversed(self._get(path)["task_instances"])
        ]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """What a task left under a key; None when it did not."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            value = self._get(f"{path}?map_index={map_index}")["value"]
        except web.Unreachable as error:
            if error.status == 404:
                return None
            raise
        try:
            return msgspec.json.decode(value) if isinstance(value, str) else value
        except msgspec.DecodeError:
            return value

    def last_error(self, dag_id: str, run_id: str, task: TaskState) -> str:
        """The message of the exception that a task's last try ended with, empty where its log has none."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task.task_id}/logs/{task.tries}"
        found = ""
        for event in self._get(f"{path}?map_index={task.map_index}&full_content=true")["content"]:
            for detail in (event.get("error_detail") or ()) if isinstance(event, dict) else ():
                found = f"{detail['exc_type']}: {detail['exc_value']}"
        return found

    def _get(self, path: str) -> Any:
        return self._authorized(lambda headers: web.get_json(self._url + path, timeout=5, headers=headers))

    def _post(self, path: str, body: object, headers: dict[str, str]) -> Any:
        return web.post_json(self._url + path, body, headers=headers)

    def _authorized(self, call: Callable[[dict[str, str]], Any]) -> Any:
        """A call that is repeated once with a new token: the old one ends after a day."""
        fresh = self._token is None
        try:
            return call(self._authorization())
        except web.Unreachable as error:
            if error.status != 401 or fresh:
                raise
        self._token = None
        return call(self._authorization())

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            login = {"username": credentials.ADMIN_USER, "password": credentials.password(self._home)}
            self._token = web.post_json(f"{self._url}/auth/token", login)["access_token"]
        return {"Authorization": f"Bearer {self._token}"}


def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")


def _dag_run(run: dict[str, Any]) -> DagRun:
    started = datetime.fromisoformat(run["start_date"]) if run["start_date"] else None
    ended = datetime.fromisoformat(run["end_date"]) if run["end_date"] else datetime.now(UTC)
    duration = (ended - started).total_seconds() if started else None
    return DagRun(run_id=run["dag_run_id"], state=run["state"], started_at=started, duration_seconds=duration)
