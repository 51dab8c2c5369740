"""`make logs`: the parts' log files, interleaved as they grow."""

import subprocess
from pathlib import Path

from stack.errors import StackError
from stack.installation import Installation

_LINES = "40"


def log_paths(installation: Installation, part: str | None) -> list[Path]:
    """The log file of a part, or of all. Raises StackError when there is none, and names those there are."""
    present = sorted(installation.log_dir.glob("*.log")) if installation.log_dir.is_dir() else []
    if part is None:
        if not present:
            raise StackError(f"no logs in {installation.log_dir}: nothing was started yet")
        return present
    path = installation.log_path(part)
    if path not in present:
        names = ", ".join(path.stem for path in present) or "none"
        raise StackError(
            f"no log of {part!r}; there are: {names}. "
            f"Task logs are in the Airflow UI and in {installation.airflow_home / 'logs'}"
        )
    return [path]


def show_logs(paths: list[Path], *, follow: bool) -> int:
    """The end of each file; with `follow` also what is appended, across rotation, until interrupted.

    Returns the exit status of `tail`.
    """
    return subprocess.run(
        ["tail", "-n", _LINES, *(["-F"] if follow else []), "--", *map(str, paths)], check=False
    ).returncode


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log file, for an error message; none when it does not exist."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * 1024))
        return file.read().decode(errors="replace").splitlines()[-count:]
