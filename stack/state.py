"""What the running stack is: the plan it was started with, in PULSE_HOME/run/state.json."""

import os
from pathlib import Path

import msgspec

from stack.errors import StackError
from stack.plan import Plan


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Written when a start begins, kept after the stop: `make clean` must know which source the data are of."""

    plan: Plan
    given: dict[str, str]
    """The PULSE_ settings the user gave: kept when the stack is restarted for another reason."""


def write_state(run_dir: Path, state: State) -> None:
    """Replace the state atomically; readable by the owner only, because settings may hold credentials in an address."""
    path = run_dir / "state.json"
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state), indent=2))
    temporary.replace(path)


def read_state(run_dir: Path) -> State | None:
    """The last start's state, or None when this home never started.

    Raises StackError when the file cannot be understood.
    """
    path = run_dir / "state.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StackError(
            f"{path}: {error}. It was written by another version: make down, delete the file, make up"
        ) from error
