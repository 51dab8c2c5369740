"""Everything worth knowing about a stack at one moment, gathered from its parts."""

import enum
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from include.config import Source, StackConfig, StreamerConfig, WarehouseConfig
from include.spool import Spool, SpoolError
from stack import credentials, web
from stack.airflow_api import MAIN_DAG, AirflowApi, DagRun
from stack.airflow_environment import ui_url
from stack.installation import Installation
from stack.leftovers import find_leftovers
from stack.parts import parts_of
from stack.plan import Plan
from stack.readiness import simulator_url, streamer_url
from stack.replay import done_path
from stack.state import read_state
from stack.supervision import ProcessInfo, Supervisor


class Health(enum.StrEnum):
    """The whole in one word. The exit status of `status` follows from it: 0, 1, 3."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    STOPPED = "stopped"


class PartStatus(msgspec.Struct, frozen=True):
    """One program."""

    state: str
    pid: int
    up_seconds: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `make status FORMAT=json` prints.

    Addresses and names are there also when the stack is stopped, figures only where they can be had.
    """

    state: Health
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    source: Source
    replay_finished: bool | None
    airflow_url: str
    airflow_user: str
    airflow_password_file: str
    warehouse_url: str
    project: str
    datasets: dict[str, str]
    spool_dir: str
    streamer_url: str
    simulator_url: str | None
    parts: dict[str, PartStatus]
    capture: dict[str, Any] | None
    segments: dict[str, int] | None
    figures: Any
    last_run: DagRun | None


class StatusReader:
    """Looks at one home's stack as often as asked."""

    def __init__(self, installation: Installation, fallback: Plan) -> None:
        """`fallback` is the plan to describe when this home never started."""
        self._installation = installation
        self._fallback = fallback
        self._supervisor = Supervisor(installation)
        self._figures: tuple[float, Any] | None = None
        self._api: AirflowApi | None = None

    def read(self, *, figures_max_age: float = 0) -> Status:
        """One look. Figures from the warehouse may be `figures_max_age` seconds old: they cost it a query."""
        state = read_state(self._installation.run_dir)
        plan = state.plan if state else self._fallback
        if not self._supervisor.is_running():
            leftovers = find_leftovers(self._installation)
            gone = f"the process manager is gone, but {len(leftovers)} of its processes run: make down ends them"
            return self._status(plan, Health.DEGRADED, [gone]) if leftovers else self._status(plan, Health.STOPPED, [])
        look = _Look(problems=[], warnings=[])
        with ThreadPoolExecutor() as pool:
            processes = self._supervisor.processes()
            capture = pool.submit(self._capture, plan, look)
            figures = pool.submit(self._read_figures, plan, look, figures_max_age)
            last_run = pool.submit(self._airflow, plan, look)
            segments = pool.submit(self._segments, plan, look)
        self._check_parts(plan, processes, look)
        return self._status(
            plan,
            Health.DEGRADED if look.problems else Health.HEALTHY,
            look.problems,
            warnings=tuple(look.warnings),
            parts={name: _part_status(info) for name, info in processes.items()},
            capture=capture.result(),
            segments=segments.result(),
            figures=figures.result(),
            last_run=last_run.result(),
        )

    def _status(self, plan: Plan, health: Health, problems: list[str], **seen: Any) -> Status:
        warehouse = plan.config(WarehouseConfig)
        nothing: dict[str, Any] = {
            "warnings": (),
            "parts": {},
            "capture": None,
            "segments": None,
            "figures": None,
            "last_run": None,
        }
        return Status(
            state=health,
            problems=tuple(problems),
            source=plan.source,
            replay_finished=self._replay_finished() if plan.source is Source.REPLAY else None,
            airflow_url=ui_url(plan.config(StackConfig)),
            airflow_user=credentials.ADMIN_USER,
            airflow_password_file=str(credentials.password_path(self._installation.airflow_home)),
            warehouse_url=warehouse.warehouse_url,
            project=warehouse.project,
            datasets=warehouse.datasets()._asdict(),
            spool_dir=str(warehouse.resolved_spool_dir()),
            streamer_url=streamer_url(plan),
            simulator_url=simulator_url(plan) if plan.own_feed else None,
            **nothing | seen,
        )

    def _replay_finished(self) -> bool:
        return done_path(self._installation).exists()

    def _check_parts(self, plan: Plan, processes: dict[str, ProcessInfo], look: "_Look") -> None:
        finished = {"streamer", "replay-watch"} if plan.source is Source.REPLAY and self._replay_finished() else set()
        for part in parts_of(self._installation, plan):
            info = processes.get(part.name)
            state = info.state if info else "not configured"
            if state != "RUNNING" and part.name not in finished:
                look.problems.append(f"{part.name} is {state.lower()}: make logs PART={part.name}")

    def _capture(self, plan: Plan, look: "_Look") -> dict[str, Any] | None:
        if plan.source is Source.REPLAY and self._replay_finished():
            return None
        url = streamer_url(plan)
        try:
            status: dict[str, Any] = web.get_json(f"{url}/status")
        except web.Unreachable as error:
            look.problems.append(f"the streamer does not answer on {url}: {error}")
            return None
        try:
            web.get_json(f"{url}/readyz")
        except web.Unreachable as error:
            reasons = error.body.get("reasons", []) if isinstance(error.body, dict) else []
            look.problems.append(f"the streamer is not ready: {'; '.join(reasons) or error}")
        look.warnings.extend(f"refused by the feed: {refused}" for refused in status.get("refused", []))
        return status

    def _read_figures(self, plan: Plan, look: "_Look", max_age: float) -> Any:
        if self._figures and time.monotonic() - self._figures[0] < max_age:
            return self._figures[1]
        # The BigQuery client takes a second to import, which `up` and `down` need not wait for.
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415

        from include.warehouse.client import connect  # noqa: PLC0415
        from include.warehouse.status import figures  # noqa: PLC0415

        config = plan.config(WarehouseConfig)
        try:
            value = msgspec.to_builtins(figures(connect(config), config))
        except (GoogleAPICallError, OSError) as error:  # requests' exceptions are OSErrors
            look.problems.append(f"the warehouse does not answer on {config.warehouse_url}: {error}")
            return None
        self._figures = (time.monotonic(), value)
        return value

    def _airflow(self, plan: Plan, look: "_Look") -> DagRun | None:
        url = ui_url(plan.config(StackConfig))
        self._api = self._api or AirflowApi(url, self._installation.airflow_home)
        try:
            health = web.get_json(f"{url}/api/v2/monitor/health", timeout=5)
            for name in ("metadatabase", "scheduler", "dag_processor", "triggerer"):
                if health[name]["status"] != "healthy":
                    look.problems.append(f"Airflow's {name} is {health[name]['status'] or 'not running'}")
            look.problems.extend(f"DAG import error: {error}" for error in self._api.import_errors())
            run = self._api.last_run(MAIN_DAG)
        except web.Unreachable as error:
            look.problems.append(f"Airflow does not answer on {url}: {error}")
            return None
        if run and run.state == "failed":
            look.warnings.append(f"the last run of {MAIN_DAG} failed: {run.run_id}")
        return run

    def _segments(self, plan: Plan, look: "_Look") -> dict[str, int] | None:
        try:
            spool = Spool.open(plan.config(StreamerConfig).resolved_spool_dir(), plan.source.value, create=False)
            usage = {state.value: counted.segments for state, counted in spool.usage().items()}
        except (SpoolError, OSError) as error:
            look.warnings.append(f"the spool cannot be read: {error}")
            return None
        if quarantined := usage.get("quarantined"):
            look.warnings.append(
                f"{quarantined} in quarantine: see the .reason.json beside each in {spool.root / 'quarantined'}"
            )
        return usage


class _Look(msgspec.Struct):
    """What one look collects; problems make the stack degraded, warnings do not."""

    problems: list[str]
    warnings: list[str]


def _part_status(info: ProcessInfo) -> PartStatus:
    running = info.state == "RUNNING"
    return PartStatus(info.state.lower(), info.pid, round(time.time() - info.started_at, 1) if running else 0)
