"""What a killed process manager leaves behind is found and ended, and nothing else is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.installation import Installation
from stack.leftovers import end_leftovers, find_leftovers, mark
from stack.parts import Part
from tests.stack.conftest import SLEEPER, Eventually, StartStranger, StartToys

#: A program with a child that left its process group, as Airflow's task processes do.
FAMILY = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
import time; time.sleep(600)
"""


def test_leftovers_of_a_killed_manager_are_ended(
    installation: Installation, start_toys: StartToys, eventually: Eventually, tmp_path: Path
) -> None:
    """Programs and their descendants are found, in whatever process group, and end."""
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    part = Part("family", (sys.executable, str(script)))
    supervisor = start_toys([part])
    supervisor.start_part(part)
    eventually(lambda: len(find_leftovers(installation)) == 3)
    manager = int((installation.run_dir / "supervisord.pid").read_text())
    os.kill(manager, signal.SIGKILL)
    eventually(lambda: len(find_leftovers(installation)) == 2)
    assert len(end_leftovers(installation)) == 2
    assert find_leftovers(installation) == {}


def test_a_program_that_ignores_sigterm_is_killed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """SIGKILL follows SIGTERM."""
    monkeypatch.setattr("stack.leftovers._TERM_SECONDS", 0.3)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=mark(installation), stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        end_leftovers(installation)
        assert deaf.wait(5) == -signal.SIGKILL


def test_processes_of_another_home_are_left_alone(
    installation: Installation, start_stranger: StartStranger, tmp_path: Path
) -> None:
    """Two stacks on one machine do not end each other."""
    with start_stranger(Installation(home=tmp_path / "other")) as stranger:
        assert end_leftovers(installation) == []
        assert stranger.poll() is None


def test_a_killed_program_is_followed_by_one_without_its_children(
    installation: Installation, start_toys: StartToys, eventually: Eventually, tmp_path: Path
) -> None:
    """Forked workers of a program that was killed are gone before its successor starts."""
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    part = Part("family", (sys.executable, "-m", "stack.successor", sys.executable, str(script)))
    other = Part("other", SLEEPER)
    supervisor = start_toys([part, other])
    supervisor.start_part(part)
    supervisor.start_part(other)
    eventually(lambda: len(find_leftovers(installation)) == 4)
    first = supervisor.processes()["family"].pid
    before = set(find_leftovers(installation))
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(set(find_leftovers(installation)) - before) == 2)
    manager = int((installation.run_dir / "supervisord.pid").read_text())
    assert before & set(find_leftovers(installation)) == {manager, supervisor.processes()["other"].pid}
