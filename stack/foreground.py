"""One part alone in the foreground, configured by the environment: `make streamer` and its like."""

import os
import threading
from collections.abc import Mapping
from typing import NoReturn

from include.config import Source
from stack.environment import parts_environment
from stack.errors import StackError
from stack.installation import Installation
from stack.leftovers import mark
from stack.parts import airflow_parts
from stack.plan import Plan, SourceChoice
from stack.ports import bindings_of, check_ports
from stack.preparation import migrate_airflow, parse_dbt, prepare_tables
from stack.readiness import warehouse_check
from stack.screen import Screen
from stack.source import configured_source, plan_for
from stack.supervision import Supervisor, write_configuration

MODULES = {"streamer": "core", "simulator": "core", "warehouse": "warehouse"}
PARTS = (*MODULES, "airflow")


def run_part(
    installation: Installation, name: str, choice: SourceChoice, environ: Mapping[str, str], screen: Screen
) -> NoReturn:
    """Become the part.

    Nothing is probed: without any hint the source is the default feed, live. Raises StackError before that.
    """
    plan = plan_for(configured_source(choice, environ) or Source.LIVE, environ, installation)
    if Supervisor(installation).is_running():
        raise StackError(
            f"the stack is running, {name} included: make down first, or PULSE_HOME=another folder (and other ports)"
        )
    check_ports(binding for binding in bindings_of(plan) if binding.part == name)
    environment = parts_environment(installation, plan, environ)
    if name == "airflow":
        command = _prepare_airflow(installation, plan, environment | mark(installation), screen)
    else:
        module = "emulator" if name == "warehouse" else name
        command = [installation.executable(MODULES[name], "python"), "-m", module]
    os.chdir(installation.repository)
    os.execve(command[0], command, environment | (mark(installation) if name == "airflow" else {}))  # noqa: S606


def _prepare_airflow(
    installation: Installation, plan: Plan, environment: Mapping[str, str], screen: Screen
) -> list[str]:
    """Everything a start of Airflow needs; returns the command that runs its four processes until Ctrl-C."""
    if plan.own_warehouse and (obstacle := warehouse_check(plan)()) is not None:
        raise StackError(
            f"Airflow needs the warehouse, which does not answer ({obstacle}): make warehouse, in another terminal"
        )
    never = threading.Event()
    screen.say("Preparing tables, dbt's manifest and Airflow's database")
    prepare_tables(installation, environment, never)
    parse_dbt(installation, plan, environment, never)
    migrate_airflow(installation, plan, environment, never)
    configuration = write_configuration(installation, airflow_parts(installation), foreground=True)
    return [installation.executable("core", "supervisord"), "-n", "-c", str(configuration)]
