"""`make clean`: delete what a home holds, and never live data by accident."""

import shutil
from collections.abc import Callable
from pathlib import Path

from include.config import Source
from stack.errors import StackError
from stack.installation import Installation
from stack.leftovers import find_leftovers

#: What the stack creates in a home. Anything else in the folder is not ours and stays.
_OWN = ("run", "logs", "airflow", "dbt", "simulator", "warehouse", "spool")


def clean(installation: Installation, *, force: bool, confirm: Callable[[str], bool] | None) -> list[Path]:
    """Delete the home's data and return what was deleted.

    Refuses (StackError) while anything runs; without `force` also when the spool holds live data, which cannot be had
    again, and when nobody can be asked (`confirm` is None). Returns nothing when the user declines. Folders that
    PULSE_SPOOL_DIR and its like place elsewhere are left alone.
    """
    if running := find_leftovers(installation):
        raise StackError(f"{len(running)} processes of this stack are running: make down first")
    present = [installation.home / name for name in _OWN if (installation.home / name).exists()]
    if not present:
        return []
    live = installation.home / "spool" / Source.LIVE.value
    if not force:
        if live.exists() and any(path.is_file() for path in live.rglob("*.ndjson")):
            raise StackError(
                f"{live} holds live data, which no one can give back. FORCE=1 make clean deletes it with the rest"
            )
        if confirm is None:
            raise StackError(f"make clean deletes {', '.join(map(str, present))}: FORCE=1 make clean")
        if not confirm("Delete " + ", ".join(map(str, present)) + "?"):
            return []
    for path in present:
        shutil.rmtree(path)
    return present
