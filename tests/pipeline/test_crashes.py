"""Killed between any two steps of a load, and started again: every record once, the ledger consistent.

The process that is killed is a real one (fork, then SIGKILL to itself at the named point), so nothing is cleaned up.
"""

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import requests
from google.cloud import bigquery

from include.pipeline import loading
from include.spool import Spool, State
from include.warehouse import Warehouse, loader, uploads
from include.warehouse.batch_reader import BatchReader
from include.warehouse.ledger import Ledger
from include.warehouse.loader import LoadFailed
from tests.pipeline.conftest import Run
from tests.warehouse.local_warehouse import local_warehouse
from tests.warehouse.spools import matches, sealed_segment

SEGMENTS = 3
RECORDS = 4


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        pytest.param(Ledger, "unfinished", id="look for unfinished"),
        pytest.param(Ledger, "compose", id="write ahead"),
        pytest.param(BatchReader, "__init__", id="open the upload"),
        pytest.param(uploads, "submit", id="submit"),
        pytest.param(loader, "finished", id="wait"),
        pytest.param(Ledger, "mark_loaded", id="close"),
        pytest.param(Spool, "mark_loaded", id="move"),
    ],
)
def test_a_kill_after_any_step_loses_and_doubles_nothing(run: Run, owner: Any, method: str) -> None:
    """The next run finishes what the dead one began, under the same ids."""
    expected = _backlog(run)

    killed_at(run, owner, method)
    run.load()

    _assert_complete(run, expected)


def test_kills_one_after_another_lose_and_double_nothing(run: Run) -> None:
    """Recovery is killed as well, each time one step further."""
    expected = _backlog(run)

    killed_at(run, Ledger, "compose")
    killed_at(run, uploads, "submit")
    killed_at(run, Ledger, "mark_loaded", "before")
    killed_at(run, Ledger, "mark_loaded")
    killed_at(run, Spool, "mark_loaded")
    run.load()

    _assert_complete(run, expected)
    assert [batch.attempt for batch in run.warehouse.ledger.recent(10)] == [1]


def test_segments_sealed_after_a_kill_are_not_mixed_into_the_unfinished_batch(run: Run) -> None:
    """A batch's content never changes after it was written down: composed anew, the same rows would get another job."""
    expected = _backlog(run)
    killed_at(run, uploads, "submit")
    (unfinished,) = run.warehouse.ledger.unfinished()
    name = sealed_segment(run.spool, matches(RECORDS, first=900))
    expected += [(name.session_id, record_no, "match") for record_no in range(1, RECORDS + 1)]

    assert run.load()["batches"] == 2

    _assert_complete(run, sorted(expected))
    assert unfinished.batch.batch_id in {batch.batch_id for batch in run.warehouse.ledger.recent(10)}


def test_worker_and_warehouse_die_together(run: Run) -> None:
    """The job was submitted, then both were killed: the data are there once, and the job is adopted."""
    expected = _backlog(run)

    killed_at(run, uploads, "submit")
    local_warehouse().kill()
    local_warehouse().start()
    run.load()

    _assert_complete(run, expected)


def test_a_lost_reply_is_healed_by_the_next_try(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job ran, the task did not hear of it."""
    expected = _backlog(run)
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "submit", _losing_the_reply)
        patch.setattr(bigquery.Client, "get_job", _unreachable)
        patch.setattr(loader, "SUBMIT_AGAIN_SECONDS", ())
        with pytest.raises(requests.ConnectionError):
            run.load()

    assert run.load()["recovered_batches"] == 1

    _assert_complete(run, expected)


@pytest.mark.parametrize("kill_before_it_is_noted", [False, True])
def test_a_failed_job_is_followed_by_the_next_attempt(
    run: Run, monkeypatch: pytest.MonkeyPatch, kill_before_it_is_noted: bool
) -> None:
    """A job id that has failed never blocks: the ledger moves on before the next one is submitted."""
    expected = _backlog(run)
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "submit", _into_a_missing_table)
        if kill_before_it_is_noted:
            killed_at(run, Ledger, "next_attempt", "before")
        else:
            with pytest.raises(LoadFailed):
                run.load()

    assert run.load()["recovered_batches"] == 1

    _assert_complete(run, expected)
    (batch,) = run.warehouse.ledger.recent(10)
    assert (batch.attempt, batch.job_id) == (2, f"pulse_load_{batch.batch_id}_2")


def _backlog(run: Run) -> list[tuple[str, int, str]]:
    """Sealed segments, and the rows they should become."""
    names = [sealed_segment(run.spool, matches(RECORDS, first=number * 10)) for number in range(SEGMENTS)]
    return sorted((name.session_id, record_no, "match") for name in names for record_no in range(1, RECORDS + 1))


def _assert_complete(run: Run, expected: list[tuple[str, int, str]]) -> None:
    assert run.rows() == expected
    assert run.warehouse.ledger.unfinished() == []
    assert run.states() == {State.LOADED.value: len(expected) // RECORDS}
    assert sum(batch.output_rows or 0 for batch in run.warehouse.ledger.recent(100)) == len(expected)


def killed_at(run: Run, owner: Any, method: str, moment: str = "after") -> None:
    """Load in a child process that is killed right before or after the first call of a method."""

    def load() -> None:
        warehouse = Warehouse.connect(run.warehouse.config)
        loading.load_segments(run.spool, warehouse, run.config, run_id="killed")

    killed_in(load, owner, method, moment)


def killed_in(step: Callable[[], object], owner: Any, method: str, moment: str = "after") -> None:
    """Run a step in a child process that is killed right before or after the first call of a method."""
    child = os.fork()
    if child == 0:
        _run_and_die(step, owner, method, moment)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the step ended by itself, with status {status}: {method} was never called"
    assert os.WTERMSIG(status) == signal.SIGKILL


def _run_and_die(step: Callable[[], object], owner: Any, method: str, moment: str) -> NoReturn:
    """In the child. Its connections are its own, and no code of the test runner runs in it after the step."""
    inner: Callable[..., Any] = getattr(owner, method)

    def dying(*args: Any, **kwargs: Any) -> None:
        if moment == "after":
            inner(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    try:
        setattr(owner, method, dying)
        step()
    finally:
        os._exit(1)


_submit = uploads.submit


def _losing_the_reply(*args: Any, **kwargs: Any) -> NoReturn:
    _submit(*args, **kwargs).result()
    raise requests.ConnectionError("reply lost")


def _unreachable(*_: Any, **__: Any) -> NoReturn:
    raise requests.ConnectionError("nobody answers")


def _into_a_missing_table(client: Any, resource: dict[str, Any], *args: Any, **kwargs: Any) -> bigquery.LoadJob:
    """The job of the right id fails, and not for its data."""
    resource["configuration"]["load"]["destinationTable"]["tableId"] = "missing"
    return _submit(client, resource, *args, **kwargs)
