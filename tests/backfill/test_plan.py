"""From missing ids to lanes, and from a window to ids."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.coinbase.rest import RestClient
from include.coinbase.token_bucket import TokenBucket
from include.config import BackfillConfig
from include.pipeline.backfill.plan import make_plan, merged, pages, spread
from include.pipeline.backfill.search import IdRange, find_range
from include.pipeline.backfill.state import Piece
from tests.backfill.conftest import Exchange, request_of


def ids(pieces: list[Piece]) -> set[tuple[str, int]]:
    return {(piece.product_id, number) for piece in pieces for number in range(piece.first, piece.last + 1)}


@st.composite
def missing_pieces(draw: st.DrawFn) -> list[Piece]:
    """Disjoint ranges of two products, in order."""
    pieces = []
    for product in ("BTC-USD", "ETH-USD"):
        reached = 0
        for distance, length in draw(st.lists(st.tuples(st.integers(1, 2500), st.integers(1, 3000)), max_size=6)):
            first = reached + distance + 1
            reached = first + length - 1
            pieces.append(Piece(product, first, reached))
    return pieces


@settings(deadline=None, max_examples=30)
@given(missing_pieces())
def test_merging_never_costs_a_request_and_loses_no_id(pieces: list[Piece]) -> None:
    """What is merged covers all that was asked, in as many pages or fewer."""
    joined = list(merged(pieces))

    assert ids(pieces) <= ids(joined)
    assert sum(map(pages, joined)) <= sum(map(pages, pieces))


@settings(deadline=None, max_examples=30)
@given(missing_pieces(), st.integers(1, 8))
def test_lanes_share_the_pages_evenly(pieces: list[Piece], lanes: int) -> None:
    """Every id is in one lane, no page is cut in two, and no lane has a page more than its share."""
    dealt = list(spread(pieces, lanes))
    flat = [piece for lane in dealt for piece in lane]

    assert len(dealt) <= lanes
    assert ids(flat) == ids(pieces)
    assert sum(piece.asked for piece in flat) == len(ids(pieces))
    assert sum(map(pages, flat)) == sum(map(pages, pieces))
    loads = [sum(map(pages, lane)) for lane in dealt]
    assert max(loads, default=0) - min(loads, default=0) <= 1


def test_a_plan_says_what_it_costs_and_what_is_there() -> None:
    """Rows, requests and seconds follow from what is missing; the window's neighbours are fetched but not counted."""
    found = IdRange("BTC-USD", 11, 5_010, 10, 5_011, 105)
    missing = [Piece("BTC-USD", 10, 10), Piece("BTC-USD", 2_001, 5_011)]

    plan = make_plan([found], 7, missing, request_of(concurrency=2), BackfillConfig())

    assert (plan.asked, plan.already_there) == (5_000, 5_000 - 3_010)
    assert (plan.rows, plan.requests, plan.seconds) == (3_012, 5, 0.5)
    assert plan.bytes == 3_012 * 300
    whole = make_plan([found], 7, missing, request_of(concurrency=2, only_missing=False), BackfillConfig())
    assert whole.rows == 5_002


@pytest.mark.parametrize("minutes", [(-600, 0), (-100, -50), (-90.5, -90.4), (-60, -60.0001), (-5, 5)])
async def test_the_ids_of_a_window_are_those_of_the_truth(exchange: Exchange, minutes: tuple[float, float]) -> None:
    """First and last trade of any window, also one before all trades, after all of them, or between two."""
    trades = exchange.truth("BTC-USD")
    newest = datetime.fromisoformat(trades[-1]["time"])
    start, end = sorted(newest + timedelta(minutes=minute) for minute in minutes)
    inside = [trade["trade_id"] for trade in trades if start <= datetime.fromisoformat(trade["time"]) < end]

    async with RestClient(exchange.url, user_agent="test", bucket=TokenBucket(10_000, 10_000)) as rest:
        found = await find_range(rest, "BTC-USD", start, end)

    assert found is not None
    assert found.asked == len(inside)
    if inside:
        assert (found.first, found.last) == (inside[0], inside[-1])
    assert found.least == max(1, found.first - 1)
    assert found.greatest == min(found.last + 1, trades[-1]["trade_id"])


async def test_a_search_costs_few_requests(exchange: Exchange) -> None:
    """Guesses and halves: a day of a busy product is found in about ten requests a bound."""
    now = datetime.now(UTC)
    async with RestClient(exchange.url, user_agent="test", bucket=TokenBucket(10_000, 10_000)) as rest:
        await find_range(rest, "BTC-USD", now - timedelta(minutes=100), now - timedelta(minutes=50))
        assert rest.requests <= 12
