"""From down to up: decide, check, prepare, start in order of readiness."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from include.config import Source, StackConfig, is_secret, variable_name
from stack import readiness, web
from stack.airflow_api import MAIN_DAG, AirflowApi
from stack.airflow_environment import ui_url
from stack.environment import parts_environment
from stack.errors import PartError, StackError
from stack.installation import Installation
from stack.leftovers import find_leftovers, mark
from stack.parts import Part, parts_of
from stack.plan import Plan, SourceChoice, given_settings
from stack.ports import bindings_of, check_ports
from stack.preparation import migrate_airflow, parse_dbt, prepare_tables
from stack.replay import done_path
from stack.screen import Screen
from stack.shutdown import clear_leftovers, take_down
from stack.source import choose_source, plan_for
from stack.state import State, read_state, write_state
from stack.steps import Step, run_steps, wait_until
from stack.supervision import Supervisor, write_configuration

#: Generous: a start after an upgrade, on a busy machine, compiles and migrates. What dies meanwhile is told at once.
_AIRFLOW_SECONDS = 300
_SERVER_SECONDS = 180
_STREAMER_SECONDS = 120


def bring_up(installation: Installation, choice: SourceChoice, environ: Mapping[str, str], screen: Screen) -> Plan:
    """Start everything, or nothing: when a part does not become ready, what was started is stopped again.

    A stack that runs is left alone, unless the source or a setting asked for now differs from the running one's: then
    it is restarted. Returns the plan that runs. Raises StackError.
    """
    supervisor = Supervisor(installation)
    state = read_state(installation.run_dir)
    running = supervisor.is_running()
    if running and "streamer" not in supervisor.processes():
        raise StackError("Airflow runs alone in this home (make airflow): end it first, or choose another PULSE_HOME")
    if running and state is not None:
        changed = changes(state, choice, given_settings(environ, installation.repository))
        if not changed:
            screen.say(f"Already running (source: {state.plan.source})")
            return state.plan
        screen.say("Restarting, because this changes: " + "; ".join(changed))
        take_down(installation, screen.say)
        environ, choice = carried_over(state, choice, environ)
    elif find_leftovers(installation):
        clear_leftovers(installation, screen.say)
    plan = plan_for(choose_source(choice, environ, screen.say), environ, installation)
    check_ports(bindings_of(plan))
    _start(installation, plan, environ, screen)
    return plan


def changes(state: State, choice: SourceChoice, given: Mapping[str, str]) -> list[str]:
    """What was asked for explicitly and differs from what runs, in words."""
    running = state.plan.settings
    wanted = dict(given)
    if choice is not SourceChoice.AUTO:
        wanted[variable_name("source")] = choice.value
    return [
        f"{name} (not shown)" if is_secret(name) else f"{name}: {running.get(name, 'unset')} → {value}"
        for name, value in sorted(wanted.items())
        if running.get(name) != value
    ]


def carried_over(state: State, choice: SourceChoice, environ: Mapping[str, str]) -> tuple[dict[str, str], SourceChoice]:
    """Environment and choice of a restart: what was given before stays, but for what belongs to another source."""
    kept = {name: value for name, value in state.given.items() if name != variable_name("source")}
    if choice is SourceChoice.AUTO and not environ.get(variable_name("source")):
        choice = SourceChoice(state.plan.source.value)
    if choice is not SourceChoice.AUTO and choice != state.plan.source.value:
        kept.pop(variable_name("feed_url"), None)
        if state.plan.source is Source.REPLAY:
            kept.pop(variable_name("replay_file"), None)
    return {**kept, **environ}, choice


def _start(installation: Installation, plan: Plan, environ: Mapping[str, str], screen: Screen) -> None:
    environment = parts_environment(installation, plan, environ) | mark(installation)
    parts = parts_of(installation, plan)
    done_path(installation).unlink(missing_ok=True)
    write_state(installation.run_dir, State(plan=plan, given=given_settings(environ, installation.repository)))
    supervisor = Supervisor(installation)
    started = time.monotonic()
    try:
        supervisor.start(write_configuration(installation, parts), environment)
        run_steps(_Start(installation, plan, environment, supervisor).steps(parts), screen)
    except BaseException:
        take_down(installation, screen.say)
        raise
    screen.say(f"Up in {time.monotonic() - started:.1f} s (source: {plan.source})")


@dataclass
class _Start:
    """The steps of one start."""

    installation: Installation
    plan: Plan
    environment: Mapping[str, str]
    supervisor: Supervisor

    def steps(self, parts: list[Part]) -> list[Step]:
        """Preparations and parts with what each waits for.

        Capture waits for nothing but its source: a slow Airflow costs no data.
        """
        installation, environment = self.installation, self.environment
        steps = [
            Step("tables", lambda cancelled: prepare_tables(installation, environment, cancelled)),
            Step("dbt-parse", lambda cancelled: parse_dbt(installation, self.plan, environment, cancelled)),
            Step("airflow-migrate", lambda cancelled: migrate_airflow(installation, self.plan, environment, cancelled)),
            *(self._part_step(part) for part in parts),
        ]
        if (installation.repository / "dags" / f"{MAIN_DAG}.py").exists():
            steps.append(Step("dags", self._wait_for_dag, ("api-server", "dag-processor")))
        names = {step.name for step in steps}
        after = {
            "tables": ("warehouse",),
            "streamer": ("simulator",),
            "replay-watch": ("streamer",),
            "api-server": ("airflow-migrate",),
            "triggerer": ("airflow-migrate",),
            "dag-processor": ("airflow-migrate", "dbt-parse"),
            "scheduler": ("airflow-migrate", "dbt-parse", "tables"),
        }
        return [
            Step(step.name, step.run, step.after or tuple(name for name in after.get(step.name, ()) if name in names))
            for step in steps
        ]

    def _part_step(self, part: Part) -> Step:
        def run(cancelled: threading.Event) -> None:
            check, seconds = self._check(part.name)
            readiness.start_and_wait(
                self.supervisor, self.installation, part, check, seconds=seconds, cancelled=cancelled
            )

        return Step(part.name, run)

    def _check(self, name: str) -> tuple[readiness.Check | None, float]:
        match name:
            case "warehouse":
                return readiness.warehouse_check(self.plan), _SERVER_SECONDS
            case "simulator":
                return readiness.simulator_check(self.plan), _SERVER_SECONDS
            case "streamer":
                return readiness.streamer_check(self.plan, done_path(self.installation)), _STREAMER_SECONDS
            case "api-server":
                return readiness.api_server_check(self.plan), _AIRFLOW_SECONDS
            case "scheduler" | "dag-processor" | "triggerer":
                return readiness.airflow_check(self.plan, name.replace("-", "_"), time.time()), _AIRFLOW_SECONDS
            case _:
                return None, _SERVER_SECONDS

    def _wait_for_dag(self, cancelled: threading.Event) -> None:
        """Until the scheduler knows the DAG. An import error of this start ends the wait at once."""
        api = AirflowApi(ui_url(self.plan.config(StackConfig)), self.installation.airflow_home)
        since = time.time()
        log_path = self.installation.log_path("dag-processor")

        def condition() -> str | None:
            try:
                if errors := api.import_errors(since):
                    raise PartError("dags", "; ".join(errors), log_path)
                return api.dag_obstacle(MAIN_DAG)
            except web.Unreachable as error:
                return str(error)

        obstacle = wait_until(condition, _AIRFLOW_SECONDS, cancelled, every=0.5)
        if obstacle is not None:
            raise PartError("dags", obstacle, log_path)
