"""Marts built by dbt against the oracle, to the last decimal."""

import datetime as dt

import pytest

from tests.dbt import feed, oracle
from tests.dbt.conftest import INCREMENT, DbtRun, Market, Row

NOON = dt.datetime(2026, 7, 7, 12, tzinfo=dt.UTC)

pytestmark = pytest.mark.timeout(900)


def _batch(batch_id: str, *messages: feed.Row) -> feed.LoadedBatch:
    """Messages received one a second from noon on, in a session of their own."""
    session = feed.Session(f"20260707T115900Z-000000{batch_id}")
    for second, message in enumerate(messages):
        session.receive(NOON + dt.timedelta(seconds=second), message)
    return feed.LoadedBatch(batch_id, NOON + dt.timedelta(minutes=2), session.records)


def _problems(run: DbtRun) -> object:
    return run.error or run.of_status("error", "fail", "runtime error", "skipped")


def test_a_build_by_hand_is_exact(market: Market) -> None:
    """A build without a window covers all that is loaded, passes every test, and every mart equals the oracle."""
    batches = feed.busy_minutes(seed=0)
    market.load_raw(batches)
    market.load_ledger(batches)
    build = market.dbt.run("build")
    assert build.succeeded, _problems(build)
    assert set(build.statuses.values()) == {"success", "pass", "warn"}
    assert list(build.of_status("warn")) == ["every_received_trade_is_usable"]
    expected = oracle.marts(batches)
    assert market.differences(expected) == {}
    assert {*expected, "rpt_freshness"} == {name for name in build.models if name.startswith(("dim_", "fct_", "rpt_"))}
    _check_freshness(market, batches, expected)


def _check_freshness(market: Market, batches: list[feed.LoadedBatch], expected: dict[str, list[Row]]) -> None:
    """As at one moment between before and after; BigQuery counts the seconds that have passed in full."""
    marts = (expected["dim_products"], expected["fct_trades_daily"])
    before = oracle.freshness(batches, *marts, dt.datetime.now(dt.UTC))
    now = market.mart("rpt_freshness")
    after = oracle.freshness(batches, *marts, dt.datetime.now(dt.UTC))
    for earliest, row, latest in zip(before, now, after, strict=True):
        ages = {name for name in row if name.endswith("_age_seconds")}
        assert len(ages) == 3
        assert {name: row[name] for name in row.keys() - ages} == {name: latest[name] for name in latest.keys() - ages}
        for name in ages:
            assert earliest[name] - 1 <= row[name] <= latest[name] + 1, name


def test_a_window_without_trades_changes_nothing(market: Market) -> None:
    """Heartbeats alone are a window too, and an empty range of trades is one that dbt can run."""
    trades = _batch("a1", feed.match("BTC-USD", 7, NOON))
    market.load_raw([trades])
    market.load_ledger([trades])
    assert market.dbt.run(*INCREMENT).succeeded
    before = market.mart("fct_trades")

    heartbeats = _batch("a2", feed.heartbeat("BTC-USD", 7, NOON))
    market.load_raw([heartbeats])
    market.load_ledger([heartbeats])
    bounds = feed.window([heartbeats])
    assert bounds["DBT_WINDOW_TRADED_FROM"] == ""
    run = market.dbt.run(*INCREMENT, window=bounds)
    assert run.succeeded, _problems(run)
    assert before == market.mart("fct_trades") == oracle.trades([trades])


def test_what_is_wrong_is_noticed(market: Market) -> None:
    """A trade that does not cast stays out and is warned of; one that is there twice, or does not add up, fails."""
    batch = _batch(
        "a1",
        feed.match("BTC-USD", 7, NOON),
        feed.match("BTC-USD", 8, NOON, price="a lot"),
        feed.match("SOL-USD", 1, NOON, time="high noon"),
    )
    market.load_raw([batch])
    market.load_ledger([batch])
    window = feed.window([batch])
    assert market.dbt.run(*INCREMENT).succeeded
    assert [(trade["product_id"], trade["trade_id"]) for trade in market.mart("fct_trades")] == [("BTC-USD", 7)]
    assert [product["product_id"] for product in market.mart("dim_products")] == ["BTC-USD"]

    run = market.dbt.run("test", "--select", "tag:every_run", window=window)
    assert run.succeeded, _problems(run)
    assert list(run.of_status("warn")) == ["every_received_trade_is_usable"]

    market.rows("insert into {marts}.fct_trades select * from {marts}.fct_trades")
    market.rows("update {marts}.fct_trades set notional = notional + 1, product_key = 0 where true")
    run = market.dbt.run("test", "--select", "tag:every_run", window=window)
    assert not run.succeeded
    assert set(run.of_status("fail")) == {
        "fct_trades_has_each_trade_once",
        "fct_trades_add_up",
        "fct_trades_product_is_in_dim_products",
        "candles_add_up_to_trades",
        "days_add_up_to_trades",
    }
