"""Archived segments back into the raw table they were removed from, on the usual way."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.pipeline import archive_segments, close_window, open_window
from include.pipeline.backfill.replay import not_transformed, restore_batches, restored
from include.pipeline.replaying import ReplayError
from include.spool import State
from tests.pipeline.conftest import Run, _prepared, run
from tests.warehouse.spools import matches, write_segment

__all__ = ["_prepared", "run"]

FROM, TO = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


def transform(run: Run) -> None:
    """Seal, load, pretend dbt, archive."""
    run.seal()
    run.load()
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")
    archive_segments(run.spool, run.warehouse, run.config)


def restore(run: Run, *, dry_run: bool = False) -> dict[str, object]:
    return restore_batches(
        run.spool, run.warehouse, run.config, received_from=FROM, received_to=TO, run_id="again", dry_run=dry_run
    )


def test_removed_rows_come_back_by_the_usual_way(run: Run) -> None:
    """A batch of which raw has no row is opened again, loaded and archived; one that is there stays alone."""
    write_segment(run.spool, matches(5))
    transform(run)
    kept = run.rows()
    write_segment(run.spool, matches(7, first=6))
    transform(run)
    before = run.rows()
    segments = run.warehouse.ledger.recent(1)
    assert (segments[0].attempt, segments[0].records) == (1, 7)
    (removed,) = {session for session, _, _ in before} - {session for session, _, _ in kept}
    run.warehouse.client.query_and_wait(
        f"delete from `{run.warehouse.messages_id}` where session_id = '{removed}' and received_at > '2000-01-01'"
    )

    planned = restore(run, dry_run=True)
    assert run.states() == {"archived": 2}
    outcome = restore(run)
    assert planned == outcome
    assert (outcome["segments"], outcome["records"], outcome["batches_already_there"]) == (1, 7, 1)
    assert restore(run) == outcome, "a task that is killed and tried again goes on with what it noted"
    names = restored(run.spool, "again")
    assert not_transformed(run.spool, run.warehouse, names) == {"not loaded": 1, "not archived": 1}

    transform(run)
    assert run.rows() == before
    assert run.warehouse.ledger.recent(1)[0].attempt == 2, "the job's id is another one: the old job would be adopted"
    assert not_transformed(run.spool, run.warehouse, names) == {}
    assert restore(run) == outcome, "nothing is put back that is there again"
    assert run.states() == {"archived": 2}


def test_what_is_there_is_not_loaded_twice(run: Run) -> None:
    """When raw has all of it, the refusal says what else can be done; an empty archive is refused, too."""
    with pytest.raises(ReplayError, match="no loaded batch"):
        restore(run)
    write_segment(run.spool, matches(3))
    transform(run)
    with pytest.raises(ReplayError, match="rebuild"):
        restore(run)
    assert run.states() == {"archived": 1}
    assert not run.spool.segments(State.SEALED)
    assert not Path(run.spool.root / "backfill").exists() or restored(run.spool, "again") == []
