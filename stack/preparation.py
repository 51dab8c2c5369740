"""What must be done before the parts can work: tables, dbt's manifest, Airflow's database.

Each is skipped when nothing changed.
"""

import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from include.config import PipelineConfig, WarehouseConfig
from include.warehouse.dbt_environment import dbt_environment
from stack.airflow_environment import airflow_version, database_path, enable_write_ahead_log
from stack.errors import PartError
from stack.installation import Installation
from stack.plan import Plan
from stack.steps import Cancelled

UNCHANGED = "unchanged"
#: The pool that plugins/market_pulse/tasks.py names.
LOAD_POOL = "pulse_load"
_POLL_SECONDS = 0.1
_NOT_SOURCE = {"target", "logs", "dbt_packages"}


def prepare_tables(installation: Installation, environment: Mapping[str, str], cancelled: threading.Event) -> None:
    """Create datasets and tables that are missing. Raises PartError."""
    _run(
        "tables",
        [installation.executable("core", "python"), "-m", "include.warehouse", "prepare"],
        installation,
        environment,
        cancelled,
    )


def parse_dbt(
    installation: Installation, plan: Plan, environment: Mapping[str, str], cancelled: threading.Event
) -> str | None:
    """Write the dbt manifest that Cosmos renders, unless the project, dbt's settings and dbt itself are as they were.

    Raises PartError.
    """
    manifest = plan.config(PipelineConfig).resolved_dbt_manifest()
    stamp = manifest.with_name("manifest.inputs")
    inputs = _dbt_inputs(installation, dbt_environment(plan.config(WarehouseConfig)))
    if manifest.is_file() and _read(stamp) == inputs:
        return UNCHANGED
    stamp.unlink(missing_ok=True)
    project = str(installation.dbt_project)
    command = [installation.executable("airflow", "dbt"), "parse", "--project-dir", project, "--profiles-dir", project]
    command += ["--target-path", str(manifest.parent), "--log-path", str(installation.dbt_dir / "logs")]
    _run("dbt-parse", command, installation, environment, cancelled)
    stamp.write_text(inputs, encoding="utf-8")
    return None


def migrate_airflow(
    installation: Installation, plan: Plan, environment: Mapping[str, str], cancelled: threading.Event
) -> str | None:
    """Bring Airflow's database to the installed version, with the pool of the loads, unless it is there.

    Raises PartError.
    """
    stamp = installation.airflow_home / "migrated"
    slots = plan.config(PipelineConfig).load_pool_slots
    version = f"{airflow_version(installation)} {LOAD_POOL}={slots}"
    if database_path(installation.airflow_home).is_file() and _read(stamp) == version:
        return UNCHANGED
    enable_write_ahead_log(installation.airflow_home)
    _run(
        "airflow-migrate",
        [installation.executable("airflow", "airflow"), "db", "migrate"],
        installation,
        environment,
        cancelled,
    )
    _run(
        "airflow-pool",
        [
            installation.executable("airflow", "airflow"),
            *("pools", "set", LOAD_POOL, str(slots), "Batches of a backlog that are loaded at once"),
        ],
        installation,
        environment,
        cancelled,
    )
    stamp.write_text(version, encoding="utf-8")
    return None


def _dbt_inputs(installation: Installation, dbt_settings: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(dbt_settings.items())).encode())
    packages = Path(installation.executable("airflow", "python")).parents[1]
    digest.update((packages / ".stamp").read_bytes() if (packages / ".stamp").exists() else b"")
    project = installation.dbt_project
    for path in sorted(project.rglob("*")):
        relative = path.relative_to(project)
        if path.is_file() and relative.parts[0] not in _NOT_SOURCE:
            digest.update(os.fsencode(relative) + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _run(
    name: str,
    command: Sequence[str],
    installation: Installation,
    environment: Mapping[str, str],
    cancelled: threading.Event,
) -> None:
    """Run a command to its end with its output in its own log.

    It has a session of its own: Ctrl-C ends it through `cancelled` only.
    """
    log_path = installation.log_path(name)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=installation.repository,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while True:
        try:
            status = process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if not cancelled.is_set():
                continue
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Cancelled from None
        if status != 0:
            raise PartError(name, f"failed with exit status {status}", log_path)
        return
