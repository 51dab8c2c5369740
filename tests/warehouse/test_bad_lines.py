"""Finding the lines for which a batch is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.warehouse.bad_lines import Bounds, Refusal, SearchGivenUp, TooManyBadLines, bisect
from include.warehouse.line_check import LineCheck
from include.warehouse.quota import LOAD_JOBS_PER_DAY, RESERVE, Allowance, BatchSize
from include.warehouse.table_specs import load_spec

PLENTY = Bounds(bad_lines=1000, probes=100_000)


@given(st.integers(1, 300), st.data())
def test_exactly_the_bad_lines_are_found(count: int, data: st.DataObject) -> None:
    """Whatever the hints say, and with a number of trial jobs that grows with the bad lines only."""
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=12))
    hints = data.draw(st.lists(st.none() | st.integers(-5, count + 5), max_size=20))
    probes = 0

    def probe(first: int, end: int) -> Refusal | None:
        nonlocal probes
        probes += 1
        return Refusal([f"{first}"]) if bad & set(range(first, end)) else None

    def hint(*_: object) -> int | None:
        return hints.pop() if hints else None

    found = bisect(probe, count, PLENTY, hint=hint)

    assert set(found) == bad
    assert probes <= 1 + len(bad) * (2 * count.bit_length() + 3) + 40


def test_a_true_hint_saves_the_search() -> None:
    """BigQuery names the row: one trial for the whole, one for the line, one for each side."""
    asked: list[tuple[int, int]] = []

    def probe(first: int, end: int) -> Refusal | None:
        asked.append((first, end))
        return Refusal(["row 700"]) if first <= 700 < end else None

    assert bisect(probe, 1_000_000, PLENTY, hint=lambda *_: 700) == {700: "row 700"}
    assert asked == [(0, 1_000_000), (700, 701), (0, 700), (701, 1_000_000)]


def test_the_search_is_bounded() -> None:
    """Too many bad lines, or too many trial jobs, and somebody has to look."""

    def all_bad(first: int, end: int) -> Refusal | None:
        return Refusal(["no"])

    with pytest.raises(TooManyBadLines, match="PULSE_DEAD_LETTERS_MAX"):
        bisect(all_bad, 1000, Bounds(bad_lines=10, probes=1000))
    with pytest.raises(SearchGivenUp, match="PULSE_PROBE_JOBS_MAX"):
        bisect(all_bad, 1000, Bounds(bad_lines=1000, probes=5))


def test_lines_that_are_refused_only_together_are_nobodys_fault() -> None:
    """No line is called bad that BigQuery takes alone."""

    def only_together(first: int, end: int) -> Refusal | None:
        return Refusal(["no"]) if end - first > 1 else None

    with pytest.raises(SearchGivenUp, match="none of them alone"):
        bisect(only_together, 8, PLENTY)


ENVELOPE = (
    b'"batch_id":"b","received_at":"2026-07-07T22:58:16.123456Z","streamer_id":"s","session_id":"s","record_no":1,'
    b'"connection_no":1,'
)


@pytest.mark.parametrize(
    ("rest", "named"),
    [
        (b'"type":"match","trade_id":"abc"', "trade_id"),
        (b'"type":"match","trade_id":1.5', "trade_id"),
        (b'"type":"match","trade_id":true', "trade_id"),
        (b'"type":"match","trade_id":[1]', "trade_id"),
        (b'"type":"match","trade_id":9223372036854775808', "trade_id"),
        (b'"type":"match","price":{"a":1}', "price"),
        (b'"type":"match","price":[1]', "price"),
        (b'"type":null', "type"),
        (b'"product_id":"BTC-USD"', "type"),
        (b'"type":"match","received_at":"yesterday"', "received_at"),
        (b'"type":', "not a JSON object"),
    ],
)
def test_what_bigquery_refuses_for_certain_is_found_without_a_job(rest: bytes, named: str) -> None:
    """By the column's name and the value."""
    problem = LineCheck(load_spec("messages")).problem(b"{%b%b}" % (ENVELOPE, rest))

    assert problem is not None
    assert named in problem


@pytest.mark.parametrize(
    "rest",
    [
        b'"type":"match","trade_id":9223372036854775807,"price":"1.10","side":null',
        b'"type":"match","trade_id":"42"',
        b'"type":"match","trade_id":42.0',
        b'"type":"match","price":1.5',
        b'"type":"level2","changes":[["buy","1","2"]],"unknown":{"a":[1]}',
    ],
)
def test_what_bigquery_may_take_is_never_called_bad(rest: bytes) -> None:
    """When in doubt, trial jobs decide."""
    assert LineCheck(load_spec("messages")).problem(b"{%b%b}" % (ENVELOPE, rest)) is None


@pytest.mark.parametrize(
    ("used", "schedule", "batches"),
    [
        (0, 120, 730),
        (720, 120, 730),
        (0, 60, 10),
        (1440, 60, 10),
        (1449, 60, 1),
        (1450, 120, 0),
        (1600, 120, 0),
        (0, 3600, 1426),
    ],
)
def test_a_backlog_leaves_room_for_the_schedule_and_for_recovery(used: int, schedule: int, batches: int) -> None:
    """A run may always load, until only the reserve is left."""
    allowance = Allowance.of(used, schedule)

    assert allowance.batches == batches
    assert allowance.batches + used <= max(used, LOAD_JOBS_PER_DAY - RESERVE)
    assert allowance.widening(wanted=max(1, batches)) == 1
    assert allowance.widening(wanted=3 * max(1, batches)) == 3


def test_batches_grow_up_to_what_the_ledger_can_write_in_one_statement() -> None:
    """Ten thousand segments."""
    assert BatchSize(100, 1000).widened(3) == BatchSize(300, 3000)
    assert BatchSize(100, 1000).widened(30) == BatchSize(3000, 10_000)
