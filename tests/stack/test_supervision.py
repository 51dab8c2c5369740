"""The process manager, with real processes."""

import os
import signal
import sys
from pathlib import Path

import pytest

from stack.errors import PartError, StackError
from stack.installation import Installation
from stack.parts import Part
from stack.supervision import Supervisor, write_configuration
from tests.stack.conftest import SLEEPER, Eventually, StartToys

TOY = Part("toy", SLEEPER)


def test_a_killed_program_runs_again(start_toys: StartToys, eventually: Eventually) -> None:
    """kill -9 costs a program nothing but its process."""
    supervisor = start_toys([TOY])
    supervisor.start_part(TOY)
    eventually(lambda: supervisor.processes()["toy"].state == "RUNNING")
    killed = supervisor.processes()["toy"].pid
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: supervisor.processes()["toy"].pid not in {0, killed})


def test_nothing_starts_by_itself(start_toys: StartToys) -> None:
    """The order of the start is ours, not the process manager's."""
    assert start_toys([TOY]).processes()["toy"].state == "STOPPED"


def test_starting_and_stopping_twice_is_once(start_toys: StartToys, eventually: Eventually) -> None:
    """Both may be repeated."""
    supervisor = start_toys([TOY])
    supervisor.start_part(TOY)
    supervisor.start_part(TOY)
    eventually(lambda: supervisor.processes()["toy"].state == "RUNNING")
    supervisor.stop_part("toy", wait=True)
    supervisor.stop_part("toy", wait=True)
    assert supervisor.processes()["toy"].state == "STOPPED"


def test_a_one_shot_program_that_ends_well_stays_ended(start_toys: StartToys, eventually: Eventually) -> None:
    """Exit status 0 of a one-shot program is its end."""
    once = Part("once", (sys.executable, "-c", "print('done')"), one_shot=True)
    supervisor = start_toys([once])
    supervisor.start_part(once)
    eventually(lambda: supervisor.processes()["once"].state == "EXITED")
    assert supervisor.processes()["once"].exit_status == 0


def test_a_program_inherits_the_environment_and_its_own_on_top(
    installation: Installation, start_toys: StartToys, eventually: Eventually
) -> None:
    """Values with spaces, percent signs and commas arrive as they are; the inherited ones are in no file."""
    show = (sys.executable, "-c", "import os; print([os.environ['SECRET'], os.environ['OWN']], flush=True)")
    part = Part("show", show, environment={"OWN": "a b,c=%d"}, one_shot=True)
    supervisor = start_toys([part], {"SECRET": "100% 'quoted' \"twice\""})
    supervisor.start_part(part)
    log = installation.log_path("show")
    eventually(lambda: log.exists() and log.read_text())
    assert log.read_text().strip() == str(["100% 'quoted' \"twice\"", "a b,c=%d"])
    assert "quoted" not in (installation.run_dir / "supervisord.conf").read_text()


def test_a_stop_ends_the_whole_process_group(start_toys: StartToys, eventually: Eventually, tmp_path: Path) -> None:
    """The signal to stop reaches a part's children, too; one that ignores it is left to the cleaning of leftovers."""
    pid_file = tmp_path / "pid"
    child = "import time; time.sleep(600)"
    parent = f"""
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}])
pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))
child.wait()
"""
    part = Part("family", _script(tmp_path, parent), stop_seconds=1)
    supervisor = start_toys([part])
    supervisor.start_part(part)
    eventually(lambda: pid_file.exists() and pid_file.read_text())
    supervisor.stop_part("family", wait=True)
    eventually(lambda: not _alive(int(pid_file.read_text())))


def _script(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "script.py"
    path.write_text(text)
    return (sys.executable, str(path))


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_group_name_is_part_of_the_full_name(start_toys: StartToys, eventually: Eventually) -> None:
    """Grouped programs are found by their own name and stopped by their full one."""
    grouped = Part("toy", SLEEPER, group="airflow")
    supervisor = start_toys([grouped])
    supervisor.start_part(grouped)
    eventually(lambda: supervisor.processes()["toy"].state == "RUNNING")
    assert supervisor.processes()["toy"].full_name == "airflow:toy"
    supervisor.stop_part("airflow:toy", wait=True)
    assert supervisor.processes()["toy"].state == "STOPPED"


def test_without_a_process_manager_nothing_is_running(installation: Installation) -> None:
    """Asking an absent one is an answer, using it an error that names the socket."""
    supervisor = Supervisor(installation)
    assert not supervisor.is_running()
    with pytest.raises(StackError, match=r"supervisor\.sock"):
        supervisor.processes()


def test_a_program_that_does_not_exist_is_told(start_toys: StartToys) -> None:
    """The error names the part."""
    missing = Part("missing", ("/does/not/exist",))
    with pytest.raises(PartError, match="missing"):
        start_toys([missing]).start_part(missing)


def test_a_value_that_cannot_be_written_down_is_refused(installation: Installation) -> None:
    """A quotation mark would silently change the command."""
    with pytest.raises(StackError, match="quotation mark"):
        write_configuration(installation, [Part("toy", ('/a"b',))])


def test_a_deep_home_keeps_its_socket_short(tmp_path: Path) -> None:
    """A path too long for a Unix socket moves the socket, a private folder per home, and nothing else."""
    deep = Installation(home=tmp_path / ("deep" * 30))
    other = Installation(home=tmp_path / ("deep" * 31))
    assert len(os.fsencode(deep.socket_path)) < 100
    assert deep.socket_path != other.socket_path
    deep.create_folders()
    assert deep.socket_path.parent.stat().st_mode & 0o777 == 0o700
    deep.socket_path.parent.rmdir()
