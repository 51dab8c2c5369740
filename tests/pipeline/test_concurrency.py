"""Runs beside one another, large backlogs and used-up quotas: segments never mix, and nothing is refused for good."""

import msgspec
import pytest

from include.pipeline import load_batch
from include.pipeline.loader_lock import BatchBusy, batch_lock
from include.warehouse import quota
from include.warehouse.ledger import LedgerError
from tests.pipeline.conftest import Run
from tests.warehouse.spools import matches, sealed_segment


def test_a_run_loads_one_batch_and_leaves_the_others_to_tasks_of_their_own(run: Run) -> None:
    """All are written down first; each is loaded once, in any order, and a repetition is a success."""
    _backlog(run, 3)

    outcome = run.load(at_most=1)
    assert (outcome["batches"], len(outcome["surplus"])) == (1, 2)
    assert len(run.warehouse.ledger.unfinished()) == 2

    for batch_id in [*reversed(outcome["surplus"]), outcome["surplus"][0]]:
        load_batch(run.spool, run.warehouse, run.config, batch_id, run_id="mapped")

    assert run.warehouse.ledger.unfinished() == []
    assert len(run.rows()) == 6
    assert run.states() == {"loaded": 3}
    assert list((run.spool.root / "locks").glob("_batch.*")) == []


def test_a_batch_that_another_run_is_loading_is_left_to_it(run: Run) -> None:
    """The others are loaded, and the segments of the busy one are in no other batch."""
    _backlog(run, 3)
    busy, free = run.load(at_most=1)["surplus"]
    sealed_segment(run.spool, matches(2, first=900))

    with batch_lock(run.spool, busy):
        assert run.load()["batches"] == 2
        with pytest.raises(BatchBusy):
            load_batch(run.spool, run.warehouse, run.config, busy, run_id="other")
    assert [entry.batch.batch_id for entry in run.warehouse.ledger.unfinished()] == [busy]
    assert free not in {entry.batch.batch_id for entry in run.warehouse.ledger.unfinished()}

    assert run.load()["batches"] == 1
    assert len(run.rows()) == 8


def test_a_batch_nobody_wrote_down_is_refused(run: Run) -> None:
    """An id with a slip of the pen loads nothing."""
    with pytest.raises(LedgerError, match="ledger"):
        load_batch(run.spool, run.warehouse, run.config, "0" * 32, run_id="mapped")


def test_batches_grow_when_the_quota_comes_near(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven segments, one a batch, where three jobs are left: three batches of three; and the outcome says so."""
    monkeypatch.setattr(quota, "LOAD_JOBS_PER_DAY", quota.RESERVE + 3 + 24)
    run.config = msgspec.structs.replace(run.config, schedule_seconds=3600)
    _backlog(run, 7)

    outcome = run.load()

    assert (outcome["batches"], outcome["widened"], outcome["waiting_for_quota"]) == (3, 3, 0)
    assert sorted(batch.segments for batch in run.warehouse.ledger.recent(10)) == [1, 3, 3]


def test_the_last_jobs_are_kept_for_recovery(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reserve reached nothing new is composed, green and said; what is written down is still finished."""
    _backlog(run, 2)
    assert len(run.load(at_most=1)["surplus"]) == 1
    monkeypatch.setattr(quota, "LOAD_JOBS_PER_DAY", quota.RESERVE + 2)
    sealed_segment(run.spool, matches(2, first=900))

    outcome = run.load()

    assert (outcome["batches"], outcome["waiting_for_quota"]) == (1, 1)
    assert run.warehouse.ledger.unfinished() == []
    monkeypatch.undo()
    assert run.load()["batches"] == 1
    assert len(run.rows()) == 6


def _backlog(run: Run, segments: int) -> None:
    """Sealed segments of two records that are to be loaded one a batch."""
    run.config = msgspec.structs.replace(run.config, batch_max_segments=1)
    for number in range(segments):
        sealed_segment(run.spool, matches(2, first=10 * number))
