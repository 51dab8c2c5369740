"""The ledger: every transition happens once, and can be repeated."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from include.spool import Manifest
from include.warehouse.batches import Batch
from include.warehouse.ledger import KnownSegment, LedgerError, LoadedBatch, UnfinishedBatch
from include.warehouse.tables import full_id
from include.warehouse.warehouse import Warehouse

LOADED_AT = datetime(2026, 7, 7, 23, 0, 1, 250000, tzinfo=UTC)

type NewBatch = Callable[..., Batch]
type NewManifest = Callable[..., Manifest]


def test_a_composed_batch_is_unfinished_and_comes_back_as_it_went(
    warehouse: Warehouse, batch: NewBatch, manifest: NewManifest
) -> None:
    """Segments, order, hashes and instants to the microsecond: the id computed from what comes back is the same."""
    composed = batch(manifest(), manifest(traded_at_min=None, traded_at_max=None), manifest())

    warehouse.ledger.compose(composed, dag_run_id="run-1")

    (entry,) = warehouse.ledger.unfinished()
    assert entry == UnfinishedBatch(composed, attempt=1)
    assert entry.batch.batch_id == composed.batch_id
    row = _row(warehouse, composed)
    assert (row["records"], row["bytes"], row["dag_run_id"], row["source"]) == (30, 3000, "run-1", "simulated")
    assert row["received_at_min"].isoformat() == "2026-07-07T22:58:01.000001+00:00"
    assert row["traded_at_max"].isoformat() == "2026-07-07T22:57:03.800000+00:00"


def test_composing_twice_writes_once(warehouse: Warehouse, batch: NewBatch) -> None:
    """A repetition after a lost reply neither doubles the batch nor takes back what happened since."""
    composed = batch()
    warehouse.ledger.compose(composed, dag_run_id="run-1")
    warehouse.ledger.next_attempt(composed, 1)

    warehouse.ledger.compose(composed, dag_run_id="run-2")

    assert warehouse.ledger.unfinished() == [UnfinishedBatch(composed, attempt=2)]
    assert _row(warehouse, composed)["dag_run_id"] == "run-1"


def test_a_segment_belongs_to_one_batch_only(warehouse: Warehouse, batch: NewBatch, manifest: NewManifest) -> None:
    """A batch that holds a segment of another one is refused whole, and the other one named."""
    shared, own = manifest(), manifest()
    first = batch(shared)
    warehouse.ledger.compose(first, dag_run_id="run-1")

    with pytest.raises(LedgerError, match=first.batch_id):
        warehouse.ledger.compose(batch(shared, own), dag_run_id="run-2")

    assert [entry.batch for entry in warehouse.ledger.unfinished()] == [first]
    assert set(warehouse.ledger.known_segments([own.segment])) == set()


def test_a_batch_without_trades_has_no_trade_range(
    warehouse: Warehouse, batch: NewBatch, manifest: NewManifest
) -> None:
    """Null, not an invented instant."""
    composed = batch(manifest(traded_at_min=None, traded_at_max=None))
    warehouse.ledger.compose(composed, dag_run_id="run-1")

    row = _row(warehouse, composed)
    assert (row["traded_at_min"], row["traded_at_max"]) == (None, None)


def test_an_attempt_is_raised_once_for_one_failure(warehouse: Warehouse, batch: NewBatch) -> None:
    """Repeating the transition does not skip an attempt."""
    composed = batch()
    warehouse.ledger.compose(composed, dag_run_id="run-1")

    assert warehouse.ledger.next_attempt(composed, 1) == 2
    assert warehouse.ledger.next_attempt(composed, 1) == 2

    assert warehouse.ledger.unfinished() == [UnfinishedBatch(composed, attempt=2)]


def test_loading_and_transforming_set_each_timestamp_once(warehouse: Warehouse, batch: NewBatch) -> None:
    """A later repetition never overwrites an earlier timestamp, and a batch that is not loaded is not transformed."""
    loaded, open_one = batch(), batch()
    for composed in (loaded, open_one):
        warehouse.ledger.compose(composed, dag_run_id="run-1")
    both = [loaded.batch_id, open_one.batch_id]

    _mark_loaded(warehouse, loaded, job_id="job-1")
    _mark_loaded(warehouse, loaded, job_id="job-2", loaded_at=LOADED_AT.replace(year=2027))
    assert warehouse.ledger.mark_transformed(both, "run-1") == 1
    transformed_at = _row(warehouse, loaded)["transformed_at"]
    assert warehouse.ledger.mark_transformed(both, "run-2") == 0

    row = _row(warehouse, loaded)
    assert (row["job_id"], row["loaded_at"], row["output_rows"]) == ("job-1", LOADED_AT, 10)
    assert (row["transformed_at"], row["transformed_by"]) == (transformed_at, "run-1")
    assert _row(warehouse, open_one)["transformed_at"] is None
    assert [entry.batch for entry in warehouse.ledger.unfinished()] == [open_one]


def test_the_window_sees_loaded_batches_until_they_are_transformed(warehouse: Warehouse, batch: NewBatch) -> None:
    """composed is too early, transformed is over."""
    composed = batch()
    warehouse.ledger.compose(composed, dag_run_id="run-1")
    assert warehouse.ledger.loaded_not_transformed() == []

    _mark_loaded(warehouse, composed)
    expected = LoadedBatch(
        composed.batch_id,
        10,
        composed.received_at_min,
        composed.received_at_max,
        composed.traded_at_min,
        composed.traded_at_max,
    )
    assert warehouse.ledger.loaded_not_transformed() == [expected]

    warehouse.ledger.mark_transformed([composed.batch_id], "run-1")
    assert warehouse.ledger.loaded_not_transformed() == []


def test_known_segments_tell_how_far_each_has_come(
    warehouse: Warehouse, batch: NewBatch, manifest: NewManifest
) -> None:
    """Only what was asked for and is in a batch is in the answer."""
    one, two, unknown = manifest(), manifest(), manifest()
    loaded, transformed = batch(one), batch(two)
    for composed in (loaded, transformed):
        warehouse.ledger.compose(composed, dag_run_id="run-1")
        _mark_loaded(warehouse, composed)
    warehouse.ledger.mark_transformed([transformed.batch_id], "run-1")

    known = warehouse.ledger.known_segments([one.segment, two.segment, unknown.segment])

    assert known == {
        one.segment: KnownSegment(one.segment, one.sha256, loaded.batch_id, is_loaded=True, is_transformed=False),
        two.segment: KnownSegment(two.segment, two.sha256, transformed.batch_id, is_loaded=True, is_transformed=True),
    }
    assert warehouse.ledger.known_segments([]) == {}


def test_a_batch_of_a_thousand_segments_is_one_statement(
    warehouse: Warehouse, batch: NewBatch, manifest: NewManifest
) -> None:
    """The largest batch by default comes back whole and in order."""
    composed = batch(*(manifest() for _ in range(1000)))

    warehouse.ledger.compose(composed, dag_run_id="run-1")

    assert warehouse.ledger.unfinished() == [UnfinishedBatch(composed, attempt=1)]


def test_the_recent_batches_come_newest_first(warehouse: Warehouse, batch: NewBatch) -> None:
    """What an operator looks at."""
    batches = [batch() for _ in range(3)]
    for composed in batches:
        warehouse.ledger.compose(composed, dag_run_id="run-1")
    _mark_loaded(warehouse, batches[2])

    recent = warehouse.ledger.recent(2)

    assert [entry.batch_id for entry in recent] == [batches[2].batch_id, batches[1].batch_id]
    assert recent[0].loaded_at == "2026-07-07T23:00:01.250000Z"
    assert (recent[1].loaded_at, recent[1].output_rows, recent[1].segments) == (None, None, 1)


def test_text_from_outside_is_a_value_and_never_sql(warehouse: Warehouse, batch: NewBatch) -> None:
    """Run ids come from whoever triggers a run."""
    run_id = "manual__' or 1=1; drop table batches; -- \\"
    composed = batch()

    warehouse.ledger.compose(composed, dag_run_id=run_id)

    assert _row(warehouse, composed)["dag_run_id"] == run_id


def _mark_loaded(warehouse: Warehouse, batch: Batch, **fields: Any) -> None:
    values: dict[str, Any] = {"job_id": batch.job_id(1), "output_rows": batch.records, "loaded_at": LOADED_AT}
    warehouse.ledger.mark_loaded(batch, **(values | fields))


def _row(warehouse: Warehouse, batch: Batch) -> dict[str, Any]:
    table = full_id(warehouse.config, "ops", "batches")
    (row,) = warehouse.client.query_and_wait(f"select * from `{table}` where batch_id = '{batch.batch_id}'")
    return dict(row)
