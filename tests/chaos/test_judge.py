"""The judge finds every way in which the books can be wrong, and nothing where they are right."""

from typing import Any

import pytest

from chaos.evidence import Evidence, Gap, Key, Record
from chaos.judge import judge

SESSION = "20260707T225816Z-3f9a2c41"
TERMS = ("63512.18", "0.00012", "sell")


def record(number: int, *, frame: int | None = None) -> tuple[Key, Record]:
    """A record of the session's first connection, whose content is its number."""
    return (SESSION, number), Record(1, number, frame)


def good() -> Evidence:
    """Five frames were sent and stored; one is a dead letter, one is malformed; trade 2 is a gap on record, 1 and 3
    are in the mart."""
    records = dict([record(1), *(record(number, frame=100 + number) for number in range(2, 7))])
    return Evidence(
        records=records,
        started={SESSION: "2026-07-07T22:58:16.000000Z"},
        repeated=[],
        quarantined={},
        quarantined_trades=frozenset(),
        unreadable=[],
        unfinished=[],
        torn=0,
        trades={("BTC-USD", 1): TERMS, ("BTC-USD", 3): TERMS},
        gaps=[Gap("BTC-USD", 2, 2, False)],
        durable={SESSION: 4},
        sent=[[7], [102, 103, 104, 105, 106, 107]],
        raw={(SESSION, number): number for number in range(1, 6)},
        raw_repeated=[],
        letters={(SESSION, 6): False, (SESSION, 5): True},
        letters_repeated=[],
        batches=[
            {"batch_id": "b1", "output_rows": 5, "is_loaded": True, "is_transformed": True, "segments": ["s1"]},
        ],
        rows_by_batch={"b1": 5},
        facts={("BTC-USD", 1): TERMS, ("BTC-USD", 3): TERMS},
        facts_repeated=[],
        truth={("BTC-USD", number): TERMS for number in range(1, 9)},
    )


def without(mapping: Any, key: Any) -> dict[Any, Any]:
    """The mapping but for one key."""
    return {name: value for name, value in mapping.items() if name != key}


def test_right_books_have_no_finding_and_balance() -> None:
    """Nothing is lost, nothing is there twice, and the sums say so."""
    verdict = judge(good())

    assert verdict.findings == []
    balance = verdict.balance
    assert (balance.records, balance.raw + balance.dead_letters) == (6, 6)
    assert (balance.truth, balance.gaps, balance.facts) == (3, 1, 2)
    assert (balance.duplicates, balance.unexplained) == (0, 0)


BATCH = good().batches[0]
TRADE = ("BTC-USD", 3)
BROKEN: dict[str, dict[str, Any]] = {
    "a record is in the spool twice": {"repeated": [(SESSION, 2)]},
    "record_no has a hole or begins late": {"records": without(good().records, (SESSION, 3))},
    "what was called durable is not in the spool": {"durable": {SESSION: 7}},
    "a stored frame is not the one that was sent": {"sent": [[7], [102, 104, 103, 105, 106]]},
    "a line of a segment is no record": {"unreadable": ["s1 line 3"]},
    "a segment did not reach the archive": {"unfinished": ["sealed/s1"]},
    "a row of raw is there twice": {"raw_repeated": [(SESSION, 2)]},
    "a record is neither in raw nor a dead letter": {"letters": without(good().letters, (SESSION, 6))},
    "a record is in raw and a refused dead letter": {"letters": {(SESSION, 6): False, (SESSION, 5): False}},
    "raw or the dead letters have what the spool has not": {"raw": {**good().raw, (SESSION, 9): 9}},
    "a row of raw differs from its record": {"raw": {**good().raw, (SESSION, 2): 0}},
    "a dead letter is there twice": {"letters_repeated": [(SESSION, 6)]},
    "a segment is in two batches": {"batches": [BATCH, {**BATCH, "batch_id": "b2", "output_rows": 0}]},
    "a batch is not loaded and transformed": {"batches": [{**BATCH, "is_transformed": False}]},
    "a batch has another number of rows than it says": {"rows_by_batch": {"b1": 10}},
    "a trade is in the mart twice": {"facts_repeated": [TRADE]},
    "a delivered trade is not in the mart": {"facts": without(good().facts, TRADE)},
    "the mart has a trade that was not delivered": {"facts": {**good().facts, ("BTC-USD", 2): TERMS}},
    "a trade of the mart is not what was traded": {"facts": {**good().facts, TRADE: ("63512.18", "1", "sell")}},
    "a trade is missing and no gap is on record": {"gaps": []},
    "a gap is on record and the trade was delivered": {"gaps": [Gap("BTC-USD", 2, 3, False)]},
}


@pytest.mark.parametrize(("law", "change"), BROKEN.items(), ids=BROKEN.keys())
def test_each_law_finds_its_case(law: str, change: dict[str, Any]) -> None:
    """One thing is wrong, and the law that forbids it says so."""
    assert law in [finding.law for finding in judge(good()._replace(**change)).findings]


def test_a_gap_that_was_closed_explains_nothing() -> None:
    """What came after all is not missing any more: if it is not there, it is lost."""
    gaps = [Gap("BTC-USD", 2, 2, False), Gap("BTC-USD", 2, 2, True)]

    (finding,) = judge(good()._replace(gaps=gaps)).findings

    assert finding.law == "a trade is missing and no gap is on record"


def test_a_segment_that_was_set_aside_explains_its_records_and_trades() -> None:
    """What lies in quarantine is on record: it is in no table, and no loss."""
    evidence = good()
    aside = {(SESSION, 7): Record(1, 7, 107)}
    gaps: list[Gap] = []

    verdict = judge(evidence._replace(quarantined=aside, gaps=gaps, quarantined_trades=frozenset({("BTC-USD", 2)})))

    assert verdict.findings == []
