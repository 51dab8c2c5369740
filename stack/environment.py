"""The one environment that all parts of a stack inherit."""

import os
from collections.abc import Mapping
from pathlib import Path

from include.config import PREFIX, StackConfig, WarehouseConfig
from include.warehouse.dbt_environment import dbt_environment
from stack.airflow_environment import airflow_environment
from stack.installation import Installation
from stack.plan import Plan

_ANOTHER_PYTHON = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX"}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parts_environment(installation: Installation, plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """The user's environment with the plan's PULSE_ settings, dbt's and Airflow's variables on top."""
    inherited = {
        name: value for name, value in environ.items() if name not in _ANOTHER_PYTHON and not name.startswith(PREFIX)
    }
    airflow_programs = str(Path(installation.executable("airflow", "airflow")).parent)
    return {
        **inherited,
        **_loopback_without_proxy(environ),
        **plan.settings,
        **dbt_environment(plan.config(WarehouseConfig)),
        **airflow_environment(installation, plan.config(StackConfig), environ),
        "PATH": os.pathsep.join([airflow_programs, environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(installation.repository),
        "PYTHONUNBUFFERED": "1",
    }


def _loopback_without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY with this machine's names: behind a proxy, tasks would ask it for their own API server."""
    present = [name for name in (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",") if name]
    value = ",".join([*present, *(name for name in _LOOPBACK if name not in present)])
    return {"NO_PROXY": value, "no_proxy": value}
