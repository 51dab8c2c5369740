"""When a part counts as ready, and how long that may take. A check returns None when ready, else what is missing."""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from include.config import EmulatorConfig, SimulatorConfig, StackConfig, StreamerConfig
from stack import web
from stack.airflow_environment import ui_url
from stack.errors import PartError
from stack.installation import Installation
from stack.parts import Part
from stack.plan import Plan
from stack.steps import wait_until
from stack.supervision import ProcessInfo, Supervisor

Check = Callable[[], str | None]
_FAILED_STATES = {"BACKOFF", "EXITED", "FATAL", "STOPPED", "UNKNOWN"}


def warehouse_check(plan: Plan) -> Check:
    """The local warehouse answers."""
    config = plan.config(EmulatorConfig)
    return _answers(f"http://{config.warehouse_host}:{config.warehouse_port}/healthz")


def simulator_check(plan: Plan) -> Check:
    """The fake exchange or the replayer answers."""
    return _answers(f"{simulator_url(plan)}/healthz")


def simulator_url(plan: Plan) -> str:
    """REST and control endpoint of the fake exchange."""
    config = plan.config(SimulatorConfig)
    return f"http://{config.simulator_host}:{config.simulator_rest_port}"


def streamer_url(plan: Plan) -> str:
    """Where the streamer serves /healthz, /readyz and /status."""
    config = plan.config(StreamerConfig)
    return f"http://{config.streamer_host}:{config.streamer_port}"


def streamer_check(plan: Plan, replay_done: Path) -> Check:
    """The streamer is connected and data arrive; or a short replay is already over, and the streamer stopped."""
    ready = _answers(f"{streamer_url(plan)}/readyz")
    return lambda: None if replay_done.exists() else ready()


def api_server_check(plan: Plan) -> Check:
    """Airflow's API server answers, also for tasks: the first request to that part of it builds it, for seconds."""
    return _answers(f"{ui_url(plan.config(StackConfig))}/execution/health")


def airflow_check(plan: Plan, component: str, started_at: float) -> Check:
    """An Airflow component (scheduler, dag_processor, triggerer) has a heartbeat after `started_at`.

    The database also remembers the heartbeat of an earlier start, and calls it healthy for half a minute.
    """
    url = f"{ui_url(plan.config(StackConfig))}/api/v2/monitor/health"

    def check() -> str | None:
        try:
            health = web.get_json(url, timeout=5)
        except web.Unreachable as error:
            return f"{url}: {error}"
        return None if _beats(health[component], component, started_at) else "gives no sign of life"

    return check


def _beats(component: dict[str, str | None], name: str, started_at: float) -> bool:
    beat = component.get(f"latest_{name}_heartbeat")
    return (
        component.get("status") == "healthy"
        and beat is not None
        and datetime.fromisoformat(beat).timestamp() >= started_at
    )


def _answers(url: str) -> Check:
    def check() -> str | None:
        try:
            web.get_json(url, timeout=5)
        except web.Unreachable as error:
            return f"{url}: {_explained(error)}"
        return None

    return check


def _explained(error: web.Unreachable) -> str:
    """The HTTP status and what the part says about it."""
    reasons = error.body.get("reasons") if isinstance(error.body, dict) else None
    return f"{error}, {'; '.join(reasons)}" if reasons else str(error)


def start_and_wait(
    supervisor: Supervisor,
    installation: Installation,
    part: Part,
    check: Check | None,
    *,
    seconds: float,
    cancelled: threading.Event,
) -> None:
    """Start a part and wait until its check passes. Raises PartError when it dies meanwhile or the time is over."""
    supervisor.start_part(part)
    first_pid: int | None = None

    def condition() -> str | None:
        nonlocal first_pid
        info = supervisor.processes()[part.name]
        if obstacle := _death(info, first_pid, part):
            raise PartError(part.name, obstacle, installation.log_path(part.name))
        first_pid = first_pid or info.pid or None
        if check is None:
            return None if info.state in {"RUNNING", "EXITED"} else "is starting"
        return check()

    obstacle = wait_until(condition, seconds, cancelled)
    if obstacle is not None:
        raise PartError(part.name, f"not ready after {seconds:g} s: {obstacle}", installation.log_path(part.name))


def _death(info: ProcessInfo, first_pid: int | None, part: Part) -> str | None:
    if part.one_shot and info.state == "EXITED" and info.exit_status == 0:
        return None
    if info.state in _FAILED_STATES:
        return f"ended while starting (exit status {info.exit_status}) {info.reason}".rstrip()
    if first_pid and info.pid and info.pid != first_pid:
        return "died while starting and was started again"
    return None
