"""The programs of a stack: what is started, from which environment, and how long each may take to stop."""

import os
from dataclasses import dataclass, field

from include.config import Source
from stack.installation import Installation
from stack.plan import Plan

AIRFLOW_GROUP = "airflow"


@dataclass(frozen=True)
class Part:
    """One supervised program. `environment` is added to what all parts inherit."""

    name: str
    command: tuple[str, ...]
    group: str | None = None
    stop_seconds: int = 10
    #: A one-shot program ends by itself with exit status 0 and is then left alone.
    one_shot: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """The name the process manager knows it by."""
        return f"{self.group}:{self.name}" if self.group else self.name


def parts_of(installation: Installation, plan: Plan) -> list[Part]:
    """The parts of a plan, in the order of their start."""
    core = installation.executable("core", "python")
    parts: list[Part] = []
    if plan.own_warehouse:
        parts.append(
            Part("warehouse", (installation.executable("warehouse", "python"), "-m", "emulator"), stop_seconds=20)
        )
    if plan.own_feed:
        parts.append(Part("simulator", (core, "-m", "simulator")))
    parts.append(Part("streamer", (core, "-m", "streamer")))
    if plan.own_feed and plan.source is Source.REPLAY:
        parts.append(Part("replay-watch", (core, "-m", "stack", "watch-replay"), one_shot=True))
    return [*parts, *airflow_parts(installation)]


def airflow_parts(installation: Installation) -> list[Part]:
    """Airflow's four processes, without the log servers: all logs are here, and they listen on every interface.

    Those that fork have `stack/airflow_settings` on their path, when it exists: an `airflow_local_settings` there is
    imported before they fork.
    """
    start = (installation.executable("core", "python"), "-m", "stack.successor")
    airflow = installation.executable("airflow", "airflow")
    settings = installation.repository / "stack" / "airflow_settings"
    preload = {"PYTHONPATH": f"{installation.repository}{os.pathsep}{settings}"} if settings.is_dir() else {}
    return [
        # When its connections are closed it holds nothing; taking its modules apart may take longer than it is worth.
        Part("api-server", (airflow, "api-server"), AIRFLOW_GROUP, stop_seconds=5),
        Part("scheduler", (*start, airflow, "scheduler", "--skip-serve-logs"), AIRFLOW_GROUP, environment=preload),
        Part("dag-processor", (*start, airflow, "dag-processor"), AIRFLOW_GROUP, environment=preload),
        Part("triggerer", (*start, airflow, "triggerer", "--skip-serve-logs"), AIRFLOW_GROUP),
    ]
