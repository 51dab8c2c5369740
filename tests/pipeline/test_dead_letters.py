"""A batch that BigQuery refuses: the bad lines are written down, the others are loaded, and nothing is lost between."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from include.config import WarehouseConfig
from include.pipeline import batch_loading
from include.spool import State
from include.spool.quarantine import Reason
from include.warehouse import Warehouse
from include.warehouse.dead_letters import DeadLetters
from include.warehouse.ledger import Ledger
from include.warehouse.loader import LoadFailed
from tests.pipeline.conftest import Run
from tests.pipeline.test_crashes import killed_at
from tests.warehouse.bigquery_proxy import BigQueryProxy
from tests.warehouse.local_warehouse import local_warehouse
from tests.warehouse.spools import match, matches, sealed_segment

BAD = b'{"type":"match","trade_id":"abc","product_id":"BTC-USD"}'


@pytest.fixture
def proxy(run: Run) -> Iterator[BigQueryProxy]:
    """The run speaks through it from now on."""
    proxy = BigQueryProxy(local_warehouse().url)
    config: WarehouseConfig = msgspec.structs.replace(run.warehouse.config, warehouse_url=proxy.url)
    run.warehouse = Warehouse.connect(config)
    yield proxy
    proxy.close()


def test_a_bad_line_is_left_out_and_the_rest_is_loaded(run: Run) -> None:
    """raw and dead letters together are the whole batch; the segment stays as it is."""
    good = sealed_segment(run.spool, matches(3))
    name = sealed_segment(run.spool, [match(10), BAD, match(11), BAD])
    content = run.spool.path(name, State.SEALED).read_bytes()
    lines = content.splitlines(keepends=True)

    outcome = run.load()

    assert (outcome["records"], outcome["dead_letters"]) == (5, 2)
    assert run.rows() == sorted(
        [(good.session_id, number, "match") for number in (1, 2, 3)]
        + [(name.session_id, number, "match") for number in (1, 3)]
    )
    letters = run.warehouse.dead_letters.open()
    assert [(letter.segment, letter.line_no, letter.record_no, letter.is_loaded) for letter in letters] == [
        (name.file_name, 2, 2, False),
        (name.file_name, 4, 4, False),
    ]
    assert letters[0].line == lines[1].decode().removesuffix("\n")
    assert "trade_id" in letters[0].error
    (batch,) = run.warehouse.ledger.recent(1)
    assert (batch.attempt, batch.records, batch.output_rows) == (2, 7, 5)
    assert run.spool.path(name, State.LOADED).read_bytes() == content
    kept = run.spool.folder(State.QUARANTINED) / name.refused_name
    assert kept.read_bytes() == lines[1] + lines[3]
    reason = msgspec.json.decode(kept.with_name(f"{kept.name}.reason.json").read_bytes(), type=Reason)
    assert (reason.segment, reason.line_no, reason.offset) == (name.file_name, 2, len(lines[0]))
    assert run.states() == {"loaded": 2, "quarantined": 1}


def test_a_line_that_only_bigquery_dislikes_is_found_by_trial_jobs(run: Run, proxy: BigQueryProxy) -> None:
    """The line is fine here and refused there; the scratch table is gone afterwards."""
    proxy.add(
        "replace", method="PUT", path="upload_id=", find='"trade_id":66600006', put='"trade_id":"6660x6"', times=None
    )
    name = sealed_segment(run.spool, [*matches(20), match(66600006), *matches(20, first=50)])

    assert run.load()["dead_letters"] == 1

    (letter,) = run.warehouse.dead_letters.open()
    assert (letter.segment, letter.line_no) == (name.file_name, 21)
    assert len(run.rows()) == 40
    dataset = run.warehouse.config.datasets().ops
    assert not [table for table in run.warehouse.client.list_tables(dataset) if "probe" in table.table_id]


def test_a_position_in_the_error_is_tried_first(run: Run, proxy: BigQueryProxy) -> None:
    """Broken JSON comes with its place: four trial jobs instead of nineteen."""
    proxy.add(
        "replace", method="PUT", path="upload_id=", find='"trade_id":66600006', put='"trade_id":[66600x6', times=None
    )
    sealed_segment(run.spool, [*matches(60), match(66600006), *matches(60, first=100)])

    assert run.load()["dead_letters"] == 1

    uploads = [path for method, path, _ in proxy.log if method == "POST" and "uploadType" in path]
    assert len(uploads) == 2 + 4, "two attempts and four probes"


def test_too_many_bad_lines_stop_the_batch_but_not_the_others(run: Run) -> None:
    """Somebody has to look: nothing of it is loaded or written down until the limit is raised."""
    config = run.config
    run.config = msgspec.structs.replace(config, dead_letters_max=2, batch_max_segments=1)
    sealed_segment(run.spool, [match(1), BAD, BAD, BAD])
    sealed_segment(run.spool, matches(2, first=10))

    for loaded in (2, 2):
        (fault,) = run.load()["faults"]
        assert "TooManyBadLines" in fault
        assert "PULSE_DEAD_LETTERS_MAX" in fault
        assert len(run.rows()) == loaded
    assert run.warehouse.dead_letters.open() == []
    assert [entry.attempt for entry in run.warehouse.ledger.unfinished()] == [1]

    run.config = config
    assert run.load()["dead_letters"] == 3
    assert len(run.rows()) == 3


def test_a_refusal_that_is_not_the_datas_fault_is_not_blamed_on_a_line(run: Run, proxy: BigQueryProxy) -> None:
    """Every line is taken by the scratch table: no dead letter, and the next run tries again."""
    proxy.add("job", method="PUT", path="upload_id=", reason="invalid", message="Provided Schema does not match")
    sealed_segment(run.spool, matches(3))

    (fault,) = run.load()["faults"]

    assert "not in the data" in fault
    assert run.warehouse.dead_letters.open() == []


def test_a_job_that_failed_for_a_passing_reason_is_not_searched(run: Run, proxy: BigQueryProxy) -> None:
    """The next run takes the next attempt."""
    proxy.add("job", method="PUT", path="upload_id=", reason="backendError")
    sealed_segment(run.spool, matches(3))
    with pytest.raises(LoadFailed, match="backendError"):
        run.load()

    assert [entry.attempt for entry in run.warehouse.ledger.unfinished()] == [2]


@pytest.mark.parametrize(
    ("owner", "method", "moment"),
    [
        pytest.param(batch_loading, "keep_refused_lines", "after", id="copied"),
        pytest.param(DeadLetters, "add_refused", "after", id="written down"),
        pytest.param(Ledger, "next_attempt", "after", id="attempt raised"),
        pytest.param(Ledger, "mark_loaded", "before", id="loaded"),
        pytest.param(DeadLetters, "add_undecodable", "after", id="undecodable listed"),
    ],
)
def test_a_kill_at_any_point_loses_and_doubles_nothing(run: Run, owner: Any, method: str, moment: str) -> None:
    """The dead letters of the dead run are the dead letters."""
    name = sealed_segment(run.spool, [match(1), BAD, match(2), b"not json"])

    killed_at(run, owner, method, moment)
    run.load()

    assert run.rows() == [
        (name.session_id, 1, "match"),
        (name.session_id, 3, "match"),
        (name.session_id, 4, "malformed"),
    ]
    assert [(letter.line_no, letter.reason, letter.is_loaded) for letter in run.warehouse.dead_letters.open()] == [
        (2, "refused", False),
        (4, "undecodable", True),
    ]
    assert run.warehouse.ledger.unfinished() == []
