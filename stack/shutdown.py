"""From up to down: what reads stops before what it reads from, and nothing is left behind."""

import time
from collections.abc import Callable

from stack.installation import Installation
from stack.leftovers import end_leftovers, find_leftovers, is_alive
from stack.supervision import Supervisor

#: Stopped after the rest: running tasks still report to the API server, and all may be talking to warehouse and feed.
_SERVERS = ("api-server", "warehouse", "simulator")
_GONE = {"STOPPED", "EXITED", "FATAL"}
_PARTS_SECONDS = 40
_MANAGER_SECONDS = 40


def take_down(installation: Installation, say: Callable[[str], None]) -> None:
    """Stop everything of this home. Does nothing when nothing runs. Raises StackError when a process cannot be ended.

    Order: streamer and Airflow's workers together, the API server, warehouse and feed with the process manager; last
    whatever still carries our mark, such as a task that outlived its scheduler (the next start repeats it).
    """
    supervisor = Supervisor(installation)
    if supervisor.is_running():
        say("Stopping")
        started = time.monotonic()
        _stop(supervisor, lambda name: name not in _SERVERS)
        _stop(supervisor, lambda name: name == "api-server")
        _shut_down(supervisor)
        _report(end_leftovers(installation), say)
        say(f"Stopped in {time.monotonic() - started:.1f} s")
    elif find_leftovers(installation):
        clear_leftovers(installation, say)
    else:
        say("Nothing is running")


def clear_leftovers(installation: Installation, say: Callable[[str], None]) -> None:
    """End what a process manager that was killed left running."""
    if ended := end_leftovers(installation):
        say(f"Ended {len(ended)} processes that an interrupted stack had left running")


def _stop(supervisor: Supervisor, chosen: Callable[[str], bool]) -> None:
    """Stop the chosen parts together and wait for them; each has its own time before it is killed."""
    names = {info.name: info.full_name for info in supervisor.processes().values() if chosen(info.name)}
    for full_name in names.values():
        supervisor.stop_part(full_name, wait=False)
    deadline = time.monotonic() + _PARTS_SECONDS
    while time.monotonic() < deadline:
        processes = supervisor.processes()
        if all(processes[name].state in _GONE for name in names):
            return
        time.sleep(0.1)


def _shut_down(supervisor: Supervisor) -> None:
    """End the process manager and what it still runs; returns when it is gone or its time is over."""
    pid = supervisor.pid()
    supervisor.shutdown()
    deadline = time.monotonic() + _MANAGER_SECONDS
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)


def _report(ended: list[str], say: Callable[[str], None]) -> None:
    if ended:
        say("Ended by force: " + ", ".join(ended))
