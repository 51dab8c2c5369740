"""The state of a running stack on disk."""

from pathlib import Path

import pytest

from include.config import Source
from stack.errors import StackError
from stack.plan import make_plan
from stack.state import State, read_state, write_state


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The plan survives, source and settings included."""
    state = State(
        plan=make_plan(Source.SIMULATED, {"PULSE_PRODUCTS": "SOL-USD"}, tmp_path), given={"PULSE_PRODUCTS": "SOL-USD"}
    )
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state


def test_the_state_is_private(tmp_path: Path) -> None:
    """Settings may hold credentials."""
    write_state(tmp_path, State(plan=make_plan(Source.LIVE, {}, tmp_path), given={}))
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_home_that_never_started_has_no_state(tmp_path: Path) -> None:
    """No file, no state, no error."""
    assert read_state(tmp_path) is None


def test_a_state_that_cannot_be_understood_is_not_guessed_at(tmp_path: Path) -> None:
    """The error names the file and the way out."""
    (tmp_path / "state.json").write_text('{"plan": 1}')
    with pytest.raises(StackError, match=r"state\.json.*make down"):
        read_state(tmp_path)
