"""A past window refetched under fire, one of a product that was never streamed, a rebuild; judged by the truth."""

import json
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e import backfilling
from tests.e2e.backfilling import NEVER_STREAMED, STREAMED, Backfill, differences, incomplete_minutes, text
from tests.e2e.harness import RunningStack, eventually, running

pytestmark = pytest.mark.drill

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def stack(stack_home: Path) -> Iterator[RunningStack]:
    """A simulated market with a past."""
    settings = backfilling.settings(trades_a_second=6, history_hours=4, schedule_seconds=60)
    settings["PULSE_BACKFILL_REQUESTS_PER_SECOND"] = "1"  # so that it lasts long enough to be killed
    backfilling.make_past(stack_home, settings)
    yield from running(stack_home, "SOURCE=simulated", **settings)


@pytest.fixture(scope="module")
def end() -> datetime:
    """The window ends before anything was streamed."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR


@pytest.mark.timeout(1000)
def test_a_refetch_that_is_killed_in_a_storm_equals_the_truth(stack: RunningStack, end: datetime) -> None:
    """Of streamed products and of one that never was every trade is in the marts once, its minutes proven whole."""
    start, products = end - 2 * HOUR, (*STREAMED, NEVER_STREAMED)
    backfilling.storm(stack, 429, 500, probability=0.1, seconds=60)
    backfill = Backfill(
        stack, mode="refetch", window_start=text(start), window_end=text(end), products=products, concurrency=3
    )
    eventually(lambda: backfilling.fetched_pages(stack) > 5, within=300, what="pages are fetched")
    backfilling.kill_a_lane(stack, backfill, supervisor=False)

    report = backfill.report(within=500)

    tries = [task["try_number"] for task in backfill.tasks("refetch.refetch_trades")]
    assert max(tries) > 1, "a lane was tried again"
    assert report["refused_429"] + report["failed_requests"] > 0
    assert report["inserted"] == report["asked"] > 35_000
    assert report["still_missing"] == report["already_there"] == 0
    for product in products:
        assert differences(stack, product, start, end) == []
        assert incomplete_minutes(stack, product, start, end) == 0


@pytest.mark.timeout(1000)
def test_a_rebuild_mends_what_was_damaged_bit_for_bit(stack: RunningStack, end: datetime) -> None:
    """`make backfill` says that nothing is missing; wrong prices are right again after the day was made from raw."""
    start = end - HOUR
    window = (f"FROM={text(start)}", f"TO={text(end)}")
    dry = json.loads(stack.make("backfill", "DRY_RUN=1", *window, timeout=400).stdout)
    assert dry["asked"] == dry["already_there"] > 0
    assert dry["requests"] == 0

    before = backfilling.marts_of(stack, start, end)
    assert before["fct_trades"]
    backfilling.damage(stack, end)
    assert backfilling.marts_of(stack, start, end) != before
    rebuilt = json.loads(stack.make("backfill", "MODE=rebuild", *window, timeout=400).stdout)
    assert rebuilt["still_missing"] == 0
    assert backfilling.marts_of(stack, start, end) == before


def test_a_request_without_sense_is_refused_with_what_to_change(stack: RunningStack, end: datetime) -> None:
    """By the schema at once, by its meaning in the first task; `make backfill` prints why and fails."""
    window = (f"FROM={text(end)}", f"TO={text(end - HOUR)}")
    refused = stack.make("backfill", *window, "PRODUCTS=BTC-USD", check=False)
    assert refused.returncode != 0
    assert "Exchange the two" in refused.stderr
    unfit = stack.make("backfill", *window, "CONCURRENCY=99", check=False)
    assert unfit.returncode != 0
    assert "99 is greater than the maximum of 8" in unfit.stderr


def test_airflows_own_backfill_over_market_pulse_is_refused(stack: RunningStack, end: datetime) -> None:
    """It would run dbt beside the schedule's; the answer says that this DAG does not take it."""
    body = {"dag_id": "market_pulse", "from_date": text(end - HOUR), "to_date": text(end), "max_active_runs": 1}
    with pytest.raises(urllib.error.HTTPError) as refused:
        stack.airflow("backfills", body)
    assert 400 <= refused.value.code < 500
    assert "does not allow backfill runs" in refused.value.read().decode()
