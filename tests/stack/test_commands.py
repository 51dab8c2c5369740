"""The commands as the Makefile calls them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from include.config import Source
from stack.cleaning import clean
from stack.errors import StackError
from stack.installation import REPOSITORY, Installation
from stack.leftovers import find_leftovers
from stack.logs import last_lines, log_paths
from stack.plan import make_plan
from stack.state import State, write_state
from tests.stack.conftest import StartStranger


def stack(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m stack` for a home."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    return subprocess.run(
        [sys.executable, "-m", "stack", *arguments],
        cwd=REPOSITORY,
        env={**inherited, "PULSE_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_up_names_a_taken_port_and_starts_nothing(tmp_path: Path) -> None:
    """The error says which port, which variable and by whom; no process is left."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        done = stack(tmp_path, "up", "--source", "simulated", PULSE_AIRFLOW_PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port} of the airflow is taken by pid {os.getpid()}" in done.stderr
    assert "PULSE_AIRFLOW_PORT=" in done.stderr
    assert find_leftovers(Installation(home=tmp_path)) == {}


def test_status_of_a_stopped_stack_is_json_with_exit_status_3(tmp_path: Path) -> None:
    """A script finds every address, and nothing else on standard output."""
    done = stack(tmp_path, "status", "--format", "json", PULSE_AIRFLOW_PORT="7003")
    status = json.loads(done.stdout)
    assert done.returncode == 3
    assert status["state"] == "stopped"
    assert status["airflow_url"] == "http://127.0.0.1:7003"
    assert set(status["datasets"]) == {"raw", "ops", "staging", "marts"}
    assert status["figures"] is None


def test_status_remembers_the_source_of_the_last_start(installation: Installation) -> None:
    """Without any hint in the environment the datasets are those of what ran."""
    plan = make_plan(Source.SIMULATED, {"PULSE_HOME": str(installation.home)}, REPOSITORY)
    write_state(installation.run_dir, State(plan=plan, given={}))
    status = json.loads(stack(installation.home, "status", "--format", "json").stdout)
    assert status["source"] == "simulated"
    assert status["datasets"]["marts"] == "pulse_sim_marts"
    assert status["spool_dir"] == str(installation.home / "spool" / "simulated")


def test_a_bad_setting_is_exit_status_2(tmp_path: Path) -> None:
    """The message names the variable."""
    done = stack(tmp_path, "status", PULSE_AIRFLOW_PORT="eighty")
    assert done.returncode == 2
    assert "PULSE_AIRFLOW_PORT" in done.stderr


def test_down_without_a_stack_is_fine(tmp_path: Path) -> None:
    """Stopping what does not run is success."""
    assert stack(tmp_path, "down").returncode == 0


def test_a_replay_without_a_recording_says_how(tmp_path: Path) -> None:
    """SOURCE=replay alone is answered with the way to name a file."""
    done = stack(tmp_path, "up", "--source", "replay")
    assert done.returncode == 1
    assert "REPLAY=file" in done.stderr


def filled(installation: Installation, source: Source) -> Path:
    """A home with a spool of a source."""
    folder = installation.home / "spool" / source.value / "archived" / "2026-07-07"
    folder.mkdir(parents=True)
    segment = folder / "streamer-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson"
    segment.touch()
    return segment


def test_clean_deletes_only_what_is_ours(installation: Installation) -> None:
    """A file of the user's in the same folder stays."""
    segment = filled(installation, Source.SIMULATED)
    notes = installation.home / "notes.txt"
    notes.touch()
    assert clean(installation, force=False, confirm=lambda question: True)
    assert not segment.exists()
    assert notes.exists()


def test_clean_asks_and_takes_no_for_an_answer(installation: Installation) -> None:
    """Nothing is deleted, and where nobody can be asked FORCE is needed."""
    segment = filled(installation, Source.SIMULATED)
    assert clean(installation, force=False, confirm=lambda question: False) == []
    with pytest.raises(StackError, match="FORCE=1"):
        clean(installation, force=False, confirm=None)
    assert segment.exists()


def test_clean_protects_live_data(installation: Installation) -> None:
    """A yes is not enough for what cannot be had again."""
    segment = filled(installation, Source.LIVE)
    with pytest.raises(StackError, match="live data"):
        clean(installation, force=False, confirm=lambda question: True)
    assert segment.exists()
    assert clean(installation, force=True, confirm=None)
    assert not segment.exists()


def test_clean_refuses_while_something_runs(installation: Installation, start_stranger: StartStranger) -> None:
    """FORCE does not delete under a running stack."""
    segment = filled(installation, Source.SIMULATED)
    with start_stranger(installation), pytest.raises(StackError, match="make down"):
        clean(installation, force=True, confirm=None)
    assert segment.exists()


def test_logs_of_an_unknown_part_name_the_known_ones(installation: Installation) -> None:
    """The user sees what there is."""
    installation.log_path("streamer").write_text("one\ntwo\n")
    assert log_paths(installation, None) == [installation.log_path("streamer")]
    with pytest.raises(StackError, match="there are: streamer"):
        log_paths(installation, "steamer")


def test_last_lines_are_the_end_of_a_log(installation: Installation) -> None:
    """Also of a long one, and of none."""
    log = installation.log_path("streamer")
    assert last_lines(log, 2) == []
    log.write_text("".join(f"line {number}\n" for number in range(20_000)))
    assert last_lines(log, 2) == ["line 19998", "line 19999"]
