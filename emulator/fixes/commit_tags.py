"""A job's commit carries the job's id, so that it is known after a crash whether the job took effect.

Fault: job records and data lie in two databases, and no transaction spans both: a process killed after the data were
committed and before the job was recorded leaves an effect that no job owns to.
BigQuery: a job's effect and its success are one.
Here: DuckLake keeps an author and a message beside each snapshot, in the transaction that makes it; they become the
job's project and id, with the number of rows. `interrupted_jobs` reads them. Scripts and sessions, whose statements
commit one by one in BigQuery too, are not tagged.
Test: tests/emulator/test_interrupted_jobs.py. Remove together with `interrupted_jobs`.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

import duckdb
from local_bigquery.catalog import names
from local_bigquery.engine import database, results
from local_bigquery.jobs import query, runner
from local_bigquery.sql.rules import ddl
from local_bigquery.sql.rules import tables as rules
from sqlglot import exp

from emulator.fixes import table_schema
from emulator.fixes.upstream import wrap

METADATA = "__ducklake_metadata_"

_current_job: ContextVar[Any] = ContextVar("current_job", default=None)
_creating: ContextVar[tuple[str, str, str] | None] = ContextVar("creating", default=None)


@dataclass(frozen=True)
class Commit:
    """What is known of a job's effect: the rows that it wrote or, by DML, changed; None where they are not counted."""

    rows: int | None


def apply() -> None:
    """Put the fix in place."""
    wrap(runner, "_execute", ("job", "job_type", "session", "running", "upload"), _execute)
    wrap(results, "materialise", ("cur", "query", "name", "params", "append", "writer"), _materialise)
    wrap(query, "_run", ("cur", "tree", "context", "destination", "config", "dry_run", "isolated"), _run)
    wrap(rules, "_check", ("tree", "table", "is_target"), _check)


def find(job: Any) -> Commit | None:
    """The commit a job made since it was created, or None."""
    for lake in database.projects():
        metadata = database.quote(METADATA + lake)
        rows = database.fetch(
            f"SELECT commit_extra_info FROM {metadata}.ducklake_snapshot_changes "  # noqa: S608 - quoted
            f"JOIN {metadata}.ducklake_snapshot USING (snapshot_id) "
            "WHERE author = ? AND commit_message = ? AND snapshot_time >= make_timestamptz(? * 1000)",
            [job.jobReference.projectId, job.jobReference.jobId, int(job.statistics.creationTime)],
        )
        if rows:
            return Commit(**json.loads(rows[-1][0]))
    return None


def _execute(inner: Callable[..., Any], job: Any, *args: Any) -> Any:
    """Runs in a context of its own (see runner.submit): no variable needs a reset."""
    _current_job.set(job)
    return inner(job, *args)


def _materialise(inner: Callable[..., Any], cur: Any, sql: str, name: str, *args: Any) -> None:
    """The last argument, a writer of its own, means a script or a session."""
    _params, append, writer = args
    job, lake = _current_job.get(), exp.to_table(name, dialect="duckdb").catalog
    if job is None or writer is not None or lake == "emulator":
        inner(cur, sql, name, *args)
        return
    with _transaction(cur):
        inner(cur, sql, name, *args)
        (rows,) = cur.fetchone()
        if not append:
            table_schema.require(cur, name)
        _tag(cur, lake, job, rows)


def _run(inner: Callable[..., Any], cur: Any, tree: Any, context: Any, *args: Any) -> Any:
    *_, dry_run, isolated = args
    job, target = _current_job.get(), names.target(tree)
    if job is None or dry_run or isolated or isinstance(tree, exp.Query):
        return inner(cur, tree, context, *args)
    if isinstance(tree, exp.Create) and target is not None:
        _creating.set(names.reference(target, context.project_id, context.dataset_id))
    lake = (target and target.catalog) or context.project_id
    with TaggingCursor(cur, lake, job, parts=len(ddl.split(tree))) as cursor:
        return inner(cursor, tree, context, *args)


def _check(inner: Callable[..., Any], tree: Any, table: Any, is_target: bool) -> None:
    """The table that the first part of the statement created, and the second fills, is not committed yet."""
    reference = (table.catalog, table.db, table.name)
    if not (is_target and isinstance(tree, exp.Insert) and reference == _creating.get()):
        inner(tree, table, is_target)


@contextlib.contextmanager
def _transaction(cursor: Any) -> Iterator[None]:
    cursor.execute("BEGIN")
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        # A failed COMMIT has ended the transaction already.
        with contextlib.suppress(duckdb.TransactionException):
            cursor.execute("ROLLBACK")
        raise


def _tag(cursor: Any, lake: str, job: Any, rows: int | None) -> None:
    cursor.execute(
        "CALL ducklake_set_commit_message(?, ?, ?, extra_info => ?)",
        [lake, job.jobReference.projectId, job.jobReference.jobId, json.dumps({"rows": rows})],
    )


@dataclass
class Fetched:
    """Rows that outlive the commit after the statement."""

    rows: list[Any]

    def fetchone(self) -> Any:
        """The first row, or None."""
        return self.rows[0] if self.rows else None


class TaggingCursor:
    """A cursor for one DML or DDL statement, whose commit carries the tag of its job.

    `parts`: what upstream executes the statement in (CREATE TABLE with a column list AS SELECT: create, insert). They
    are one transaction. A transaction that the caller opens (MERGE does) is tagged at its COMMIT instead.
    """

    def __init__(self, cursor: Any, lake: str, job: Any, parts: int) -> None:
        self._cursor = cursor
        self._lake = lake
        self._job = job
        self._parts = parts
        self._callers = False
        self._ours = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            # A failed COMMIT has ended the transaction already.
            with contextlib.suppress(duckdb.TransactionException):
                self._cursor.execute("ROLLBACK")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, params: Any = None) -> Any:
        """As the cursor's own, with the tag."""
        if sql in ("BEGIN", "COMMIT", "ROLLBACK"):
            if sql == "COMMIT":
                _tag(self._cursor, self._lake, self._job, None)
            self._callers = sql == "BEGIN"
            return self._cursor.execute(sql)
        if self._callers:
            return self._cursor.execute(sql, params)
        return self._execute_part(sql, params)

    def _execute_part(self, sql: str, params: Any) -> Fetched:
        if not self._ours:
            self._cursor.execute("BEGIN")
            self._ours = True
        rows = self._cursor.execute(sql, params).fetchall()
        self._parts -= 1
        if self._parts == 0:
            _tag(self._cursor, self._lake, self._job, rows[0][0] if rows else None)
            self._cursor.execute("COMMIT")
            self._ours = False
        return Fetched(rows)
