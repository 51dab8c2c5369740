"""What a second `make up` does to a stack that runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from include.config import Source
from stack.errors import StackError
from stack.installation import Installation
from stack.parts import Part
from stack.plan import SourceChoice, given_settings, make_plan
from stack.screen import Screen
from stack.startup import bring_up, carried_over, changes
from stack.state import State, write_state
from tests.stack.conftest import SLEEPER, StartToys

REPOSITORY = Path("/repository")


def running(source: Source, **given: str) -> State:
    """The state of a stack that was started with these settings."""
    return State(plan=make_plan(source, given, REPOSITORY), given=given_settings(given, REPOSITORY))


def test_asking_for_nothing_changes_nothing() -> None:
    """A plain `make up` continues what runs, whatever it was started with."""
    state = running(Source.REPLAY, PULSE_REPLAY_FILE="/recording", PULSE_AIRFLOW_PORT="7003")
    assert changes(state, SourceChoice.AUTO, {}) == []


def test_asking_for_the_same_changes_nothing() -> None:
    """The command that started it, once more."""
    state = running(Source.SIMULATED, PULSE_PRODUCTS="SOL-USD")
    assert changes(state, SourceChoice.SIMULATED, {"PULSE_PRODUCTS": "SOL-USD"}) == []


def test_another_source_or_setting_is_a_change() -> None:
    """Each is named with its old and new value."""
    state = running(Source.SIMULATED, PULSE_PRODUCTS="SOL-USD")
    assert changes(state, SourceChoice.LIVE, {"PULSE_PRODUCTS": "ADA-USD"}) == [
        "PULSE_PRODUCTS: SOL-USD → ADA-USD",
        "PULSE_SOURCE: simulated → live",
    ]


def test_a_changed_secret_is_named_and_not_shown() -> None:
    """The start's output ends in logs."""
    state = running(Source.SIMULATED, PULSE_DEADMAN_URL="https://switch.example/old-token")
    given = {"PULSE_DEADMAN_URL": "https://switch.example/new-token"}
    assert changes(state, SourceChoice.AUTO, given) == ["PULSE_DEADMAN_URL (not shown)"]


def test_a_restart_keeps_what_was_given_before() -> None:
    """A changed product does not move Airflow back to its default port, nor try the live feed again."""
    state = running(Source.SIMULATED, PULSE_AIRFLOW_PORT="7003")
    environ, choice = carried_over(state, SourceChoice.AUTO, {"PULSE_PRODUCTS": "SOL-USD"})
    assert environ == {"PULSE_AIRFLOW_PORT": "7003", "PULSE_PRODUCTS": "SOL-USD"}
    assert choice is SourceChoice.SIMULATED


def test_a_switch_of_source_drops_what_belonged_to_the_old_one() -> None:
    """A recording is not carried into a simulated market."""
    state = running(Source.REPLAY, PULSE_REPLAY_FILE="/recording", PULSE_AIRFLOW_PORT="7003")
    environ, choice = carried_over(state, SourceChoice.SIMULATED, {})
    assert environ == {"PULSE_AIRFLOW_PORT": "7003"}
    assert choice is SourceChoice.SIMULATED


def test_a_running_stack_is_continued(installation: Installation, start_toys: StartToys) -> None:
    """Nothing is started or stopped, and the plan that runs is returned."""
    supervisor = start_toys([Part("streamer", SLEEPER)])
    home = {"PULSE_HOME": str(installation.home)}
    state = running(Source.SIMULATED, **home)
    write_state(installation.run_dir, state)
    manager = supervisor.pid()
    screen = Screen(Console(file=io.StringIO()))
    assert bring_up(installation, SourceChoice.AUTO, home, screen) == state.plan
    assert supervisor.pid() == manager


def test_airflow_alone_is_not_taken_for_a_stack(installation: Installation, start_toys: StartToys) -> None:
    """`make airflow` in another terminal is neither continued nor ended."""
    supervisor = start_toys([Part("scheduler", SLEEPER, group="airflow")])
    screen = Screen(Console(file=io.StringIO()))
    with pytest.raises(StackError, match="make airflow"):
        bring_up(installation, SourceChoice.AUTO, {}, screen)
    assert supervisor.is_running()
