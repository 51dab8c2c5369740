"""The warehouse, killed by its own hand at the moment that a job's id names.

`written-…`: the job's data are written and not committed; `committed-…`: they are committed and the job is not recorded
as done; `recorded-…`: it is.
"""

import os
import signal
import sys
import threading
from typing import Any

from local_bigquery.jobs import store

import emulator.__main__
from emulator.fixes import commit_tags

_tag = commit_tags._tag
_save = store.save


def _tag_and_die(cursor: Any, lake: str, job: Any, rows: int | None) -> None:
    _tag(cursor, lake, job, rows)
    _die_if(job, "written")


def _save_and_die(job: Any) -> Any:
    if job.status.state != "DONE":
        return _save(job)
    _die_if(job, "committed")
    saved = _save(job)
    _die_if(job, "recorded")
    return saved


def _die_if(job: Any, moment: str) -> None:
    """Not in the main thread, which resolves the job at the next start."""
    if job.jobReference.jobId.startswith(moment) and threading.current_thread() is not threading.main_thread():
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    commit_tags._tag, store.save = _tag_and_die, _save_and_die
    sys.exit(emulator.__main__.main())
