"""The marts do not depend on how and when what they are made of arrived."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dbt import feed, oracle
from tests.dbt.conftest import INCREMENT, STORED, Dbt, Market

#: Of the law, in the long tests. An example is up to five runs of dbt.
EXAMPLES = 8

pytestmark = pytest.mark.timeout(3600)


class Arrival(NamedTuple):
    """In which order and windows batches are loaded, and which are loaded a second time."""

    seed: int
    windows: int
    repeated: int


arrivals = st.builds(
    Arrival, seed=st.integers(0, 2**32), windows=st.integers(1, 3), repeated=st.integers(min_value=1, max_value=4)
)


def test_an_arrival_in_disorder_gives_the_same_marts(dbt: Dbt) -> None:
    """One example of the law below, for every run of the tests."""
    _check(dbt, Arrival(seed=1, windows=3, repeated=2))


@pytest.mark.long
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrival=arrivals)
def test_any_arrival_gives_the_same_marts(dbt: Dbt, arrival: Arrival) -> None:
    """Segments shuffled, split over windows and loaded twice, and a window run twice, change nothing."""
    _check(dbt, arrival)


def _check(dbt: Dbt, arrival: Arrival) -> None:
    """The marts are those of the oracle, and every partition is bit for bit that of a rebuild from raw."""
    market = Market(dbt)
    market.clear()
    choice = random.Random(arrival.seed)
    batches = feed.busy_minutes(arrival.seed)
    batches += [_again(batch) for batch in choice.sample(batches, arrival.repeated)]
    choice.shuffle(batches)
    groups = _split(batches, arrival.windows, choice)
    market.load_raw(groups[0])
    for group, next_group in zip(groups, [*groups[1:], []], strict=True):
        market.load_raw(next_group)  # its load job is done already, and the ledger does not know it yet
        market.load_ledger(group)
        _run(market, group)
    _run(market, choice.choice(groups))  # closing the window had failed
    hashes = market.hashes()
    assert len(hashes) > len(STORED)
    expected = oracle.marts(batches)
    assert market.differences({name: expected[name] for name in STORED}) == {}
    _run(market, None)
    assert market.hashes() == hashes


def _again(batch: feed.LoadedBatch) -> feed.LoadedBatch:
    """The same segment, loaded later, by another batch."""
    return batch._replace(
        batch_id=f"{batch.batch_id}-again", loaded_at=batch.loaded_at.replace(hour=5), dead_letters=(), drift=()
    )


def _split(batches: Sequence[feed.LoadedBatch], parts: int, choice: random.Random) -> list[list[feed.LoadedBatch]]:
    cuts = sorted(choice.sample(range(1, len(batches)), parts - 1))
    return [list(batches[start:end]) for start, end in zip([0, *cuts], [*cuts, len(batches)], strict=True)]


def _run(market: Market, group: Sequence[feed.LoadedBatch] | None) -> None:
    """The models over a window; without one a rebuild from raw."""
    command = (*INCREMENT, "--full-refresh") if group is None else INCREMENT
    run = market.dbt.run(*command, window=group and feed.window(group))
    assert run.succeeded, run.error or run.of_status("error", "skipped")
