"""Fixtures: an installation of its own, and a real process manager with toy programs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from stack.installation import Installation
from stack.leftovers import end_leftovers, find_leftovers, mark
from stack.parts import Part
from stack.supervision import Supervisor, write_configuration

Eventually = Callable[[Callable[[], object]], None]
StartToys = Callable[..., Supervisor]
StartStranger = Callable[[Installation], AbstractContextManager[subprocess.Popen[bytes]]]

#: A program that runs until it is told to stop.
SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition is true; fails after ten seconds."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the condition did not become true within 10 s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """This repository with a home of its own."""
    installation = Installation(home=tmp_path / "home")
    installation.create_folders()
    return installation


@pytest.fixture
def start_stranger(eventually: Eventually) -> StartStranger:
    """A process of an installation that no process manager knows; ended after the block, whatever happens in it."""

    @contextmanager
    def start(installation: Installation) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(SLEEPER, env=mark(installation)) as process:
            try:
                # For a moment after a start /proc shows no environment yet.
                eventually(lambda: process.pid in find_leftovers(installation))
                yield process
            finally:
                process.kill()

    return start


@pytest.fixture
def start_toys(installation: Installation) -> Iterator[StartToys]:
    """Start a real process manager with the given parts configured; whatever runs is ended after the test."""

    def start(parts: Sequence[Part], environment: Mapping[str, str] | None = None) -> Supervisor:
        supervisor = Supervisor(installation)
        inherited = {"PATH": os.environ["PATH"], **(environment or {}), **mark(installation)}
        supervisor.start(write_configuration(installation, parts), inherited)
        return supervisor

    yield start
    end_leftovers(installation)
