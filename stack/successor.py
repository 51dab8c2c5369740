"""`python -m stack.successor COMMAND…`: end what a killed run of this program left behind, then become the command.

Airflow's scheduler forks workers, its dag-processor parsers: after a kill -9 of the parent they live on, each with a
quarter of a gigabyte, and tasks run on beside the new scheduler, which starts them again. Workers with a task pass
SIGTERM on to it, so that the task is recorded as to be retried; idle ones ignore it and are killed.
"""

import os
import sys

from stack.leftovers import end_marked

_TERM_SECONDS = 3.0
#: supervisord sets these for each program, and runs one process of a name at a time: any other is a leftover.
_IDENTITY = ("SUPERVISOR_SERVER_URL", "SUPERVISOR_PROCESS_NAME")


def main(command: list[str]) -> None:
    """Replace this process. Raises KeyError when it was not started by supervisord."""
    for ended in end_marked({name: os.environ[name] for name in _IDENTITY}, _TERM_SECONDS):
        print(f"ended what an earlier run left behind: {ended}", flush=True)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
