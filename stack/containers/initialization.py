"""`python -m stack.containers.initialization`: what must be done before Airflow starts, at every start and upgrade.

Tables, Airflow's database with its pool, dbt's manifest. Each is idempotent; they run side by side.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

from rich.console import Console

from include.config import PipelineConfig, WarehouseConfig, load
from include.warehouse.dbt_environment import dbt_environment
from stack.containers import layout
from stack.errors import PartError
from stack.preparation import LOAD_POOL
from stack.screen import Screen
from stack.steps import Cancelled, Step, run_steps

_POLL_SECONDS = 0.2
_DBT_PROJECT = layout.AIRFLOW_HOME / "include" / "dbt"


def main() -> int:
    """0 when all is prepared, else 1 and what failed."""
    pipeline = load(PipelineConfig)
    slots = str(pipeline.load_pool_slots)
    steps = [
        Step("tables", lambda cancelled: _run("tables", ["python", "-m", "include.warehouse", "prepare"], cancelled)),
        Step("database", lambda cancelled: _run("database", ["airflow", "db", "migrate"], cancelled)),
        Step("pool", lambda cancelled: _run("pool", pool_command(slots), cancelled), after=("database",)),
        Step("dbt", lambda cancelled: _run("dbt", parse_command(pipeline), cancelled)),
    ]
    screen = Screen(Console(force_terminal=False, width=200))
    try:
        run_steps(steps, screen)
    except PartError as error:
        screen.say(f"✗ {error}")
        return 1
    return 0


def pool_command(slots: str) -> list[str]:
    """Make the pool that the load tasks name, or set its size."""
    return ["airflow", "pools", "set", LOAD_POOL, slots, "Batches of a backlog that are loaded at once"]


def parse_command(config: PipelineConfig) -> list[str]:
    """Write the manifest that Cosmos renders."""
    manifest = config.resolved_dbt_manifest()
    command = [
        "dbt",
        "--no-use-colors",
        "parse",
        "--project-dir",
        str(_DBT_PROJECT),
        "--profiles-dir",
        str(_DBT_PROJECT),
    ]
    return [*command, "--target-path", str(manifest.parent), "--log-path", str(layout.HOME / "dbt" / "logs")]


def _run(name: str, command: Sequence[str], cancelled: threading.Event) -> None:
    """Run a command to its end, its output on ours. Raises PartError, and Cancelled when another step failed."""
    environment = {**os.environ, **dbt_environment(load(WarehouseConfig))}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
        while True:
            try:
                status = process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if not cancelled.is_set():
                    continue
                process.kill()
                raise Cancelled from None
            if status != 0:
                raise PartError(name, f"{' '.join(command)} failed with exit status {status}: see above")
            return


if __name__ == "__main__":
    sys.exit(main())
