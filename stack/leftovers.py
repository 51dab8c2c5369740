"""Processes that outlived who should have ended them: found by a mark only ours carry, and ended.

The mark is a variable in the environment, which all descendants inherit: a process that has it is ours, whatever became
of its parent, its process group or its title. Reading other processes' environments needs /proc; on systems without it
nothing is found, and what is left over shows as a taken port.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from stack.errors import StackError
from stack.installation import Installation

_TERM_SECONDS = 10.0
_KILL_SECONDS = 5.0


def mark(installation: Installation) -> dict[str, str]:
    """The variable to start the process manager and preparations with; supervisord gives it to its programs."""
    return {"SUPERVISOR_SERVER_URL": f"unix://{installation.socket_path}"}


def find_leftovers(installation: Installation) -> dict[int, str]:
    """pid → command line of every living process of this installation's stack, its process manager included."""
    return find_marked(mark(installation))


def end_leftovers(installation: Installation) -> list[str]:
    """End every process of this installation's stack.

    Returns the command lines of what was ended. Raises StackError if something survives.
    """
    ended = end_marked(mark(installation), _TERM_SECONDS)
    installation.socket_path.unlink(missing_ok=True)
    return ended


def find_marked(marks: Mapping[str, str]) -> dict[int, str]:
    """pid → command line of every living process, but this one, with all these variables in its environment."""
    return dict(_marked({os.fsencode(f"{name}={value}") for name, value in marks.items()}))


def end_marked(marks: Mapping[str, str], term_seconds: float) -> list[str]:
    """SIGTERM, then SIGKILL, until no process with these variables is left but this one.

    Returns the command lines of what was ended. Raises StackError if something survives.
    """
    found = find_marked(marks)
    _signal_until_gone(marks, signal.SIGTERM, term_seconds)
    _signal_until_gone(marks, signal.SIGKILL, _KILL_SECONDS)
    if survivors := find_marked(marks):
        names = ", ".join(f"{pid} ({name})" for pid, name in survivors.items())
        raise StackError(f"these processes of an earlier start cannot be ended: {names}")
    return [f"{pid} ({name})" for pid, name in found.items()]


def is_alive(pid: int) -> bool:
    """Whether a process of ours exists and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(Path("/proc") / str(pid))


def _is_zombie(folder: Path) -> bool:
    """Ended, but not yet waited for by its parent."""
    try:
        return b") Z " in (folder / "stat").read_bytes()
    except FileNotFoundError:
        return False


def _signal_until_gone(marks: Mapping[str, str], number: signal.Signals, seconds: float) -> None:
    """Signal each process once, as it appears: a dying parent may still fork."""
    deadline = time.monotonic() + seconds
    signalled: set[int] = set()
    while time.monotonic() < deadline and (found := find_marked(marks)):
        for pid in found.keys() - signalled:
            signalled.add(pid)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        time.sleep(0.1)


def _marked(entries: set[bytes]) -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if pid == os.getpid():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            ours = entries <= set((folder / "environ").read_bytes().split(b"\0"))
        except OSError:  # another user's process, or one that just ended
            continue
        if ours and not _is_zombie(folder):
            yield pid, b" ".join(words).decode(errors="replace").strip()[:100]
