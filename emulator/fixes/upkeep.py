"""What grows with each job is cut back: small files, snapshots, replaced files, records of queries.

Fault: each commit leaves a Parquet file and a snapshot for ever, each job a record; every statement reads them all, so
a warehouse that takes 720 loads a day gets slower day by day.
BigQuery: storage is reorganised in the background; a table can be read as of some days ago; jobs are listed for six
months. Here: as of an hour ago; the latest QUERY_JOBS_KEPT queries and OTHER_JOBS_KEPT other jobs.
When: at start, and when no job runs after at least JOBS_BETWEEN; who writes meanwhile, and every job, waits (about a
second): DuckLake would fail one of an update and a reorganisation of the same table.
Test: tests/emulator/test_upkeep.py. Remove when local-bigquery does this by itself.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
from local_bigquery.engine import database
from local_bigquery.jobs import runner

from emulator.fixes.upstream import wrap

JOBS_BETWEEN = 200
QUERY_JOBS_KEPT = 1000
OTHER_JOBS_KEPT = 10_000

_REORGANISATION = (
    "CALL ducklake_rewrite_data_files($lake, delete_threshold => 0.3)",
    "CALL ducklake_merge_adjacent_files($lake)",
    "SELECT count(*) FROM ducklake_expire_snapshots($lake, older_than => now() - INTERVAL 1 HOUR)",
    # A reader outside a job (tabledata.list, the Storage API) may still hold what was replaced just now.
    "SELECT count(*) FROM ducklake_cleanup_old_files($lake, older_than => now() - INTERVAL 10 MINUTE)",
)
_ORPHANS = "SELECT count(*) FROM ducklake_delete_orphaned_files($lake, cleanup_all => true)"
_FORGOTTEN_JOBS = """
    DELETE FROM emulator.jobs WHERE state = 'DONE' AND (project_id, job_id) IN (
        SELECT (project_id, job_id)
        FROM (SELECT project_id, job_id, creation_time,
                     json_extract_string(resource, '$.configuration.jobType') = 'QUERY' AS is_query
              FROM emulator.jobs)
        QUALIFY row_number() OVER (PARTITION BY is_query ORDER BY creation_time DESC) > if(is_query, $queries, $others)
    )
"""


class Turns:
    """Who may touch the data: any number of jobs, or one upkeep. An upkeep never waits, it takes a quiet moment."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs = 0
        self._jobs_since = 0
        self._upkeep = False

    def begin_job(self) -> None:
        """Wait until no upkeep is on."""
        with self._changed:
            self._changed.wait_for(lambda: not self._upkeep)
            self._jobs += 1

    def end_job(self) -> bool:
        """True: it is the upkeep's turn now; who is told so must see to `end_upkeep`."""
        with self._changed:
            self._jobs -= 1
            self._jobs_since += 1
            self._upkeep = self._jobs == 0 and self._jobs_since >= JOBS_BETWEEN
            return self._upkeep

    def end_upkeep(self) -> None:
        """Let the jobs go on."""
        with self._changed:
            self._upkeep = False
            self._jobs_since = 0
            self._changed.notify_all()


_turns = Turns()
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="upkeep")


def apply() -> None:
    """Put the fix in place, and do the upkeep once. Nothing writes yet: files that no snapshot knows are leftovers."""
    wrap(runner, "_execute", ("job", "job_type", "session", "running", "upload"), _execute)
    # DuckDB's cache would keep the contents of files that are replaced, up to most of the machine's memory.
    database.execute("SET GLOBAL enable_external_file_cache = false")
    _reorganise(*_REORGANISATION, _ORPHANS)
    _forget_jobs()


def _execute(inner: Callable[..., Any], *args: Any) -> Any:
    _turns.begin_job()
    try:
        return inner(*args)
    finally:
        if _turns.end_job():
            _worker.submit(_upkeep)


def _upkeep() -> None:
    try:
        _reorganise(*_REORGANISATION)
        _forget_jobs()
    except duckdb.Error:
        # Only a write through the Storage API can be in the way; the next turn does it.
        logging.getLogger(__name__).warning("upkeep of the storage was interrupted", exc_info=True)
    finally:
        _turns.end_upkeep()


def _reorganise(*statements: str) -> None:
    for lake in database.projects():
        for statement in statements:
            with database.writing(), database.cursor() as cursor:
                cursor.execute(statement, {"lake": lake}).fetchall()


def _forget_jobs() -> None:
    with database.cursor() as cursor:
        cursor.execute(_FORGOTTEN_JOBS, {"queries": QUERY_JOBS_KEPT, "others": OTHER_JOBS_KEPT})
