"""Marts of a day made again from raw, whatever has become of them; and a day that is refetched late."""

import datetime as dt

import pytest

from include.pipeline.backfill.rebuild import as_of_now, plan_rebuild, report_rebuild
from include.pipeline.backfill.request import BackfillRequest, Mode, RequestRefused
from include.warehouse import Warehouse
from tests.dbt import feed, oracle
from tests.dbt.conftest import INCREMENT, DbtRun, Market
from tests.dbt.test_marts import NOON

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

NEW_YEAR = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def _problems(run: DbtRun) -> object:
    return run.error or run.of_status("error", "fail", "runtime error", "skipped")


def _request(start: dt.datetime, end: dt.datetime) -> BackfillRequest:
    return BackfillRequest(mode=Mode.REBUILD, start=start, end=end)


def test_a_rebuild_gives_the_same_rows_whatever_was_there(market: Market) -> None:
    """Changed and deleted rows of a day are after its rebuild as they were, bit for bit."""
    batches = feed.busy_minutes(seed=3)
    market.load_raw(batches)
    market.load_ledger(batches)
    built = market.dbt.run("run")
    assert built.succeeded, _problems(built)
    expected = oracle.marts(batches)
    assert market.differences(expected) == {}
    for damage in (
        "update {marts}.fct_trades set price = price + 1 where mod(trade_id, 3) = 0",
        "delete from {marts}.fct_trades where mod(trade_id, 7) = 1",
        "update {marts}.fct_tickers set best_bid = 1 where mod(trade_id, 2) = 0",
        "update {marts}.fct_candles_1m set volume = volume + 1, is_complete = not is_complete where true",
        "delete from {marts}.fct_trades_daily where product_id = 'ETH-USD'",
        "update {staging}.int_product_minutes set greatest_beat_trade_id = 999999999 where last_beat_at is not null",
    ):
        market.rows(f"{damage} and traded_date = date '{NEW_YEAR.date()}'")
    warehouse = Warehouse.connect(market.config)
    now = NEW_YEAR + 2 * DAY

    days = plan_rebuild(warehouse, _request(NEW_YEAR, NEW_YEAR + DAY), now)
    for day in days:
        run = market.dbt.run(*INCREMENT, window=day.window.to_environment())
        assert run.succeeded, (day.day, _problems(run))

    assert [day.day for day in days] == ["2027-01-01"]
    assert market.differences(expected) == {}
    report = report_rebuild(warehouse, days)
    assert (report["asked"], report["still_missing"]) == (
        sum(row["traded_date"] == NEW_YEAR.date() for row in expected["fct_trades"]),
        0,
    )
    assert report["inserted"] == report["asked"] - report["already_there"] > 0


def test_a_rebuild_takes_what_was_loaded_since_it_was_planned(market: Market) -> None:
    """A run that failed in between has brought it into some of the marts: without it the day's would not agree."""
    first, second = (
        feed.LoadedBatch(f"c{number}", NOON + dt.timedelta(minutes=number), session.records)
        for number, session in enumerate(map(_one_trade, (0, 60)), 1)
    )
    market.load_raw([first, second])
    market.load_ledger([first])
    assert market.dbt.run("run", "--select", "+fct_trades").succeeded
    warehouse = Warehouse.connect(market.config)
    (day,) = plan_rebuild(warehouse, _request(NOON - DAY / 2, NOON + DAY / 2), NOON + DAY)
    market.load_ledger([second])

    window = as_of_now(warehouse, day.window)

    assert (window.traded_at_min, window.traded_at_max) == (day.window.traded_at_min, day.window.traded_at_max)
    assert window.is_rebuild
    assert dt.datetime.fromisoformat(day.window.received_at_max) == NOON
    assert dt.datetime.fromisoformat(window.received_at_max) == NOON + dt.timedelta(seconds=60)


def _one_trade(seconds: int) -> feed.Session:
    at = NOON + dt.timedelta(seconds=seconds)
    session = feed.Session(f"{at:%Y%m%dT%H%M%S}Z-0000000c")
    session.receive(at, feed.match("BTC-USD", 1 + seconds, at))
    return session


def test_a_rebuild_of_what_raw_has_lost_is_refused(market: Market) -> None:
    """A partition that has expired takes its rows along: marts are not made of what is left. So is a day of nothing."""
    batches = feed.busy_minutes(seed=4)
    market.load_ledger(batches)
    warehouse = Warehouse.connect(market.config)
    request = _request(NEW_YEAR, NEW_YEAR + DAY)

    with pytest.raises(RequestRefused, match="PULSE_RAW_EXPIRATION_DAYS"):
        plan_rebuild(warehouse, request, NEW_YEAR + 61 * DAY)
    with pytest.raises(RequestRefused, match="no loaded record"):
        plan_rebuild(warehouse, _request(NEW_YEAR + 9 * DAY, NEW_YEAR + 10 * DAY), NEW_YEAR + 10 * DAY)


def test_a_day_that_is_refetched_a_month_later_is_whole(market: Market) -> None:
    """Late trades change their own minutes, days and completeness, and the rows equal those of a build of all."""
    live = feed.Session("20260707T115900Z-0000000a")
    for second in range(0, 600, 30):
        at = NOON + dt.timedelta(seconds=second)
        if not 120 <= second < 420:
            live.receive(at, feed.match("BTC-USD", 1 + second // 30, at))
            live.receive(at, feed.heartbeat("BTC-USD", 1 + second // 30, at))
    late = feed.Session("20260807T115900Z-0000000b", "rest-1")
    for number in range(20):
        at = NOON + dt.timedelta(seconds=30 * number)
        trade = feed.match("BTC-USD", 1 + number, at, type="rest_trade")
        late.receive(
            NOON + 31 * DAY, {k: v for k, v in trade.items() if not k.endswith("order_id") and k != "sequence"}
        )
    batches = [
        feed.LoadedBatch("a0", NOON + dt.timedelta(minutes=20), live.records),
        feed.LoadedBatch("b0", NOON + 32 * DAY, late.records),
    ]
    for number, batch in enumerate(batches):
        market.load_raw([batch])
        market.load_ledger([batch])
        run = market.dbt.run(*INCREMENT, window=feed.window([batch]) if number else None)
        assert run.succeeded, _problems(run)

    built = oracle.marts(batches)
    assert (
        market.differences({mart: built[mart] for mart in ("fct_trades", "fct_candles_1m", "fct_trades_daily")}) == {}
    )
    sources = market.rows("select source, count(*) as trades from {marts}.fct_trades group by 1 order by 1")
    assert [(row["source"], row["trades"]) for row in sources] == [("rest", 10), ("ws", 10)]
    (minutes,) = market.rows("select countif(is_complete) as complete from {marts}.fct_candles_1m")
    assert minutes["complete"] == 9, "all but the last, after which nothing is known"
