"""A killed warehouse tells the truth about its jobs when it is back."""

import contextlib
import itertools
import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound

CRASHING = str(Path(__file__).parent / "crashing_warehouse.py")
STATEMENTS = {
    "insert": "insert into {d}.t values (1), (2), (3)",
    "update": "update {d}.t set a = -a where a < 0",
    "merge": "merge {d}.t t using (select a from unnest([1, 2, 3]) a) s on t.a = s.a when not matched then insert row",
    "create": "create table {d}.made partition by date(at) cluster by k as select 1 k, timestamp '2026-07-07' at",
    "contract": "create table {d}.made (k int64 not null, at timestamp) partition by date(at) cluster by k "
    "as (select 1 k, timestamp '2026-07-07' at)",
}


@pytest.fixture(scope="module")
def crashing(warehouse_factory: Any) -> Iterator[Any]:
    """A warehouse that dies where a job's id says so, and is started again by who let it die."""
    with warehouse_factory() as crashing:
        crashing.start(CRASHING)
        yield crashing


@pytest.fixture
def table(crashing: Any, request: pytest.FixtureRequest) -> str:
    """A table `t` of three negative numbers, in a dataset of its own; the dataset's name."""
    name = re.sub(r"\W", "_", request.node.name)
    crashing.client.create_dataset(name)
    crashing.rows(f"create table {name}.t (a int64)")
    crashing.rows(f"insert into {name}.t values (-1), (-2), (-3)")
    return name


@pytest.mark.parametrize("moment", ["written", "committed", "recorded"])
def test_load(crashing: Any, table: str, moment: str) -> None:
    """A load cut off before its commit failed and wrote nothing; after it, it succeeded with its number of rows."""
    job_id = f"{moment}-load"
    _crash(crashing, lambda: crashing.submit(f"{table}.t", _lines(range(5)), job_id=job_id))
    job = crashing.client.get_job(job_id)
    rows = crashing.rows(f"select count(*) from {table}.t where a >= 0")

    assert job.state == "DONE"
    if moment == "written":
        assert (job.error_result["reason"], rows) == ("stopped", [(0,)])
    else:
        assert (job.error_result, job.output_rows, rows) == (None, 5, [(5,)])
    with pytest.raises(Conflict):
        crashing.submit(f"{table}.t", _lines([9]), job_id=job_id)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_committed_statement(crashing: Any, table: str, statement: str) -> None:
    """A statement cut off between its commit and its record succeeded, and its effect is there once."""
    job_id = f"committed-{statement}"
    _crash(crashing, lambda: _query(crashing, job_id, STATEMENTS[statement].format(d=table)))
    job = crashing.client.get_job(job_id)

    assert (job.state, job.error_result) == ("DONE", None)
    if statement in {"create", "contract"}:
        made = crashing.client.get_table(job.destination)
        assert (made.time_partitioning.field, made.clustering_fields, made.num_rows) == ("at", ["k"], 1)
    else:
        assert crashing.rows(f"select count(*) from {table}.t where a > 0") == [(3,)]


@pytest.mark.parametrize("statement", ["merge", "create", "contract"])
def test_uncommitted_statement(crashing: Any, table: str, statement: str) -> None:
    """A statement cut off before its commit failed and left nothing."""
    job_id = f"written-{statement}"
    _crash(crashing, lambda: _query(crashing, job_id, STATEMENTS[statement].format(d=table)))
    job = crashing.client.get_job(job_id)

    assert (job.state, job.error_result["reason"]) == ("DONE", "stopped")
    assert crashing.rows(f"select count(*) from {table}.t where a >= 0") == [(0,)]
    with pytest.raises(NotFound):
        crashing.client.get_table(f"{table}.made")


@pytest.mark.timeout(1200)
def test_random_kills(own_warehouse: Any, request: pytest.FixtureRequest) -> None:
    """Killed at random moments, a job says success exactly if its rows are in the table, once."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    randomness = random.Random(seed)
    submitted: dict[str, str] = {}
    own_warehouse.start()
    own_warehouse.client.create_dataset("d")
    own_warehouse.rows("create table d.t (job string, a int64)")
    for round_no in range(request.config.getoption("--kills", 6)):
        workers = [
            threading.Thread(target=_submit_until_killed, args=(own_warehouse, f"{round_no}-{kind}", kind, submitted))
            for kind in ("load", "insert", "merge", "select")
        ]
        for worker in workers:
            worker.start()
        threading.Event().wait(randomness.uniform(0.05, 2))
        own_warehouse.kill()
        for worker in workers:
            worker.join()
        own_warehouse.start()
    found = dict(own_warehouse.rows("select job, count(*) from d.t group by job"))

    assert len(submitted) > 6
    for job_id, kind in submitted.items():
        try:
            job = own_warehouse.client.get_job(job_id)
        except NotFound:  # it never arrived
            assert job_id not in found, job_id
            continue
        assert job.state == "DONE", job_id
        succeeded = job.error_result is None and kind != "select"
        assert found.get(job_id, 0) == (3 if succeeded else 0), (job_id, job.error_result)


def _submit_until_killed(warehouse: Any, prefix: str, kind: str, submitted: dict[str, str]) -> None:
    for number in itertools.count():
        job_id = f"{prefix}-{number}"
        submitted[job_id] = kind
        values = f"(select '{job_id}' job, a from unnest([1, 2, 3]) a)"
        statements = {
            "insert": f"insert into d.t {values}",
            "merge": f"merge d.t t using {values} s on t.job = s.job when not matched then insert row",
            "select": f"select * from {values}",
        }
        try:
            if kind == "load":
                body = b"\n".join(b'{"job": "%s", "a": %d}' % (job_id.encode(), value) for value in range(3))
                warehouse.submit("d.t", body, job_id=job_id)
            else:
                _query(warehouse, job_id, statements[kind])
        except requests.RequestException:
            return


def _crash(warehouse: Any, submit: Callable[[], Any]) -> None:
    """Have the warehouse die by what is submitted, and start it again."""
    with contextlib.suppress(requests.RequestException, GoogleAPICallError):
        submit()
    assert warehouse.process.wait(60) == -9
    warehouse.start(CRASHING)


def _query(warehouse: Any, job_id: str, sql: str) -> Any:
    return warehouse.client.query(sql, job_id=job_id, retry=None, job_retry=None)


def _lines(values: Any) -> bytes:
    return b"\n".join(b'{"a": %d}' % value for value in values)
