"""The made-up market is plausible, and its arithmetic is exact."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.arrivals import Arrivals
from simulator.catalogue import product
from simulator.decimals import ONE, padded, product_text, scaled, trimmed
from simulator.instants import SECOND, parse_rfc3339, rfc3339
from simulator.rolling import HOUR, MINUTE, Rolling
from simulator.trade import Trade
from simulator.walk import Walk

NOW = 1_783_465_096 * SECOND
AMOUNTS = st.integers(min_value=0, max_value=10**22)


def walked(product_id: str, trades: int, seed: int = 1) -> list[Trade]:
    """The first trades of a product, a second apart."""
    walk = Walk(product(product_id), seed, None)
    made: list[Trade] = []
    while len(made) < trades:
        made += walk.sweep(NOW + len(made) * SECOND)
    return made[:trades]


@pytest.mark.parametrize("product_id", ["BTC-USD", "SHIB-USD", "ETH-BTC", "FOO-BAR", "A1-B2", "ZZZ-EUR"])
def test_prices_and_sizes_are_whole_increments_of_a_plausible_walk(product_id: str) -> None:
    """Positive, in whole increments, no jump of more than a tenth of a percent inside 20,000 trades."""
    facts = product(product_id)
    trades = walked(product_id, 20_000)
    assert all(trade.price % facts.quote_increment == 0 and trade.price > 0 for trade in trades)
    assert all(trade.size % facts.base_increment == 0 and trade.size > 0 for trade in trades)
    for before, after in itertools.pairwise(trades):
        assert abs(after.price - before.price) <= max(before.price // 1000, 2 * facts.quote_increment)
    assert facts.price * 2 // 3 < min(trade.price for trade in trades)
    assert max(trade.price for trade in trades) < facts.price * 3 // 2
    assert len({trade.price for trade in trades}) > 20
    assert 0.4 < sum(trade.maker_side == "buy" for trade in trades) / len(trades) < 0.6


def test_a_walk_resumed_at_a_sweeps_end_goes_on_as_if_never_interrupted() -> None:
    """All of a trade but its time and sequence depends on seed and id only."""
    through = Walk(product("ETH-USD"), 3, None)
    resumed = Walk(product("ETH-USD"), 3, None)
    for number in range(500):
        one = through.sweep(NOW + number)
        other = resumed.sweep(NOW + number * SECOND)
        assert [trade._replace(time=0, sequence=0) for trade in one] == [
            trade._replace(time=0, sequence=0) for trade in other
        ]
        resumed = Walk(product("ETH-USD"), 3, other[-1])


def test_time_and_sequence_never_go_back() -> None:
    """Also when the clock does, and over a restart."""
    walk = Walk(product("BTC-USD"), 1, None)
    first = walk.sweep(NOW, length=5)
    second = walk.sweep(NOW - HOUR, length=5)
    third = Walk(product("BTC-USD"), 1, second[-1]).sweep(NOW - HOUR, length=5)
    trades = [*first, *second, *third]
    assert {trade.time for trade in trades} == {NOW}
    sequences = [trade.sequence for trade in trades]
    assert sequences == sorted(set(sequences))


def test_a_quote_surrounds_the_trade() -> None:
    """The taker's side of the quote stands at the price of the trade."""
    walk = Walk(product("BTC-USD"), 1, None)
    for trade in walked("BTC-USD", 500):
        quote = walk.quote(trade)
        assert quote.bid < quote.ask
        assert trade.price == (quote.bid if trade.maker_side == "buy" else quote.ask)


@given(AMOUNTS)
def test_decimal_texts_are_exact(value: int) -> None:
    """Every form is the same number."""
    exact = Decimal(value).scaleb(-8)
    assert Decimal(trimmed(value)) == exact
    assert Decimal(padded(value)) == exact
    assert scaled(trimmed(value)) == scaled(padded(value)) == value
    assert Decimal(product_text(value * ONE)) == exact


@pytest.mark.parametrize("text", ["", "-1", "1e3", "0.000000001", ".5", "1.", "NaN", "1,0", " 1"])
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    """Nothing is guessed or rounded."""
    with pytest.raises(ValueError, match="decimal"):
        scaled(text)


@given(st.integers(min_value=0, max_value=4_000_000_000 * SECOND))
def test_times_are_exact(instant: int) -> None:
    """Written and read back to the microsecond."""
    assert parse_rfc3339(rfc3339(instant)) == instant


@given(
    st.lists(st.tuples(st.integers(0, 10 * HOUR), st.integers(1, 1000), st.integers(1, 1000)), min_size=1, max_size=40)
)
def test_rolling_figures_equal_a_recount(steps: list[tuple[int, int, int]]) -> None:
    """Open, high, low and volume of the window, whatever the gaps between trades."""
    rolling = Rolling()
    trades: list[tuple[int, int, int]] = []
    at = NOW
    for gap, price, size in steps:
        at += gap
        trades.append((at, price, size))
        summary = rolling.add(at, price, size)
        day = [trade for trade in trades if trade[0] // MINUTE > at // MINUTE - 24 * 60]
        month = [trade for trade in trades if trade[0] // HOUR > at // HOUR - 30 * 24]
        assert summary == (
            day[0][1],
            max(trade[1] for trade in day),
            min(trade[1] for trade in day),
            sum(trade[2] for trade in day),
            sum(trade[2] for trade in month),
        )


def test_arrivals_keep_the_mean_rate_and_make_up_for_a_second_at_most() -> None:
    """An hour's trades are about what the rate says; a pause of the process is not made up for."""
    arrivals = Arrivals(["A-B", "C-D"], 100, seed=1, start=NOW)
    walk_mean = 413 / 256
    made = [len(list(arrivals.due(NOW + second * SECOND))) for second in range(1, 3601)]
    assert 0.85 < sum(made) * walk_mean / 360_000 < 1.15
    assert max(made) > 3 * min(made)
    assert len(list(arrivals.due(NOW + 2 * 3600 * SECOND))) < 1000


def test_arrivals_that_were_not_taken_stay() -> None:
    """Taking them in portions gives the same ones as taking all."""
    whole, portions = (Arrivals(["A-B", "C-D"], 50, seed=1, start=NOW) for _ in range(2))
    taken = []
    while portion := list(itertools.islice(portions.due(NOW + SECOND), 3)):
        taken += portion
    assert taken == list(whole.due(NOW + SECOND))
    assert len(taken) > 3


def test_without_a_rate_nothing_arrives() -> None:
    """Rate 0 is a quiet market."""
    assert list(Arrivals(["A-B"], 0, seed=1, start=NOW).due(NOW + HOUR)) == []
