"""`python -m stack.containers.heartbeat SchedulerJob`: the health check of an Airflow process that serves nothing.

0 when this container's job of that type wrote a heartbeat to the database within a minute, and since the container
started: the database also remembers the heartbeats of the process that died. `airflow jobs check` asks the same,
without the latter, at the cost of starting Airflow: four seconds of CPU each time.
"""

import os
import socket
import sys
import time
from pathlib import Path

import psycopg2  # type: ignore[import-untyped] # in the Airflow environment only

from stack.containers import layout

_AGE_SECONDS = 60
_CONNECT_SECONDS = 5
_QUERY = """
    select extract(epoch from max(latest_heartbeat))
    from job
    where job_type = %s and hostname = %s and state = 'running'
"""


def last_heartbeat(job_type: str) -> float | None:
    """Time of the newest heartbeat of this container's job; None when there is none. Raises psycopg2.Error."""
    url = layout.DATABASE_URL.read_text("utf-8").replace("+psycopg2", "")
    connection = psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_QUERY, (job_type, socket.gethostname()))
            (moment,) = cursor.fetchone()
            return None if moment is None else float(moment)
    finally:
        connection.close()


def started_at(pid: int = 1) -> float:
    """When a process of this container started: its ticks since the kernel's boot, added to the time of that."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19])
    boot = next(line for line in Path("/proc/stat").read_text("utf-8").splitlines() if line.startswith("btime "))
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def main(job_type: str) -> int:
    """Print the age, or why there is none."""
    try:
        moment = last_heartbeat(job_type)
    except psycopg2.Error as error:
        sys.stdout.write(f"the database cannot be asked: {error}\n")
        return 1
    if moment is None or moment < started_at():
        sys.stdout.write("no heartbeat yet\n")
        return 1
    age = time.time() - moment
    sys.stdout.write(f"heartbeat {age:.0f} s ago\n")
    return 0 if age < _AGE_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
