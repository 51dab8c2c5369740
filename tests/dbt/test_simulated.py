"""Marts of the simulator's market, loaded by the product's own steps, against its truth ledger."""

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from analysis.past import Past, record
from include.config import PipelineConfig
from include.pipeline import close_window, load_segments, open_window, seal_segments
from include.spool import Spool, State
from include.warehouse.warehouse import Warehouse
from simulator.instants import SECOND
from simulator.ledger_reader import Candle, LedgerReader
from simulator.trade import Trade, order_id_text
from tests.dbt import feed, oracle
from tests.dbt.conftest import INCREMENT, STORED, Market, Row

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
E8 = 10**8
MIDNIGHT = int(dt.datetime(2026, 7, 6, tzinfo=dt.UTC).timestamp()) * SECOND
MINUTE = 60 * SECOND

#: Around midnight; the streamer is away for two minutes and a half.
PAST = Past(
    start=MIDNIGHT - 6 * MINUTE,
    end=MIDNIGHT + 6 * MINUTE,
    trades_per_second=Decimal("2.5"),
    outages=((MIDNIGHT + MINUTE, MIDNIGHT + 3 * MINUTE + 30 * SECOND),),
    segment_seconds=120,
)

pytestmark = pytest.mark.timeout(900)


def test_marts_are_the_truth(market: Market, tmp_path: Path) -> None:
    """Every trade that was sent while somebody listened is there, as it was made, and the other minutes say so.

    A segment comes late, after the others were transformed.
    """
    spool = Spool.open(tmp_path / "spool", market.config.resolved_source(), create=True)
    record(PAST, tmp_path / "truth.sqlite3", spool)
    warehouse = Warehouse.connect(market.config)
    late = sorted(spool.folder(State.SEALING).iterdir())[2]
    late.rename(tmp_path / late.name)
    _run(market, spool, warehouse)
    (tmp_path / late.name).rename(late)
    _run(market, spool, warehouse)

    truth = LedgerReader(tmp_path / "truth.sqlite3")
    trades = {product: truth.oldest(product, 10**6, 0) for product in truth.product_ids()}
    sent = [_as_mart(trade) for product in sorted(trades) for trade in trades[product] if _is_received(trade, trades)]
    there = market.mart("fct_trades")
    assert [{name: row[name] for name in sent[0]} for row in there] == sent
    assert len(sent) < sum(map(len, trades.values())), "the outage costs no trade"

    candles = market.mart("fct_candles_1m")
    for product in trades:
        own = [candle for candle in candles if candle["product_id"] == product]
        whole = {candle["candle_at"] for candle in own if candle["is_complete"]}
        assert whole == _whole_minutes()
        expected = {candle.start: candle for candle in truth.candles(product, PAST.start, PAST.end, 60)}
        for candle in own:
            if candle["is_complete"] and candle["trade_count"]:
                assert _ohlcv(candle) == _ohlcv_of_truth(expected[int(candle["candle_at"].timestamp())])
    truth.close()

    expected_marts = oracle.marts(list(_loaded(market, spool)))
    assert market.differences({name: expected_marts[name] for name in STORED}) == {}


def _run(market: Market, spool: Spool, warehouse: Warehouse) -> None:
    """As the DAG's tasks do it."""
    seal_segments(spool, PipelineConfig())
    loaded = load_segments(spool, warehouse, PipelineConfig(), run_id="test")
    assert loaded["batches"] == 1
    window = open_window(warehouse)
    assert window
    run = market.dbt.run(*INCREMENT, window=window.to_environment())
    assert run.succeeded, run.error or run.of_status("error", "skipped")
    close_window(warehouse, window, run_id="test")


def _is_received(trade: Trade, trades: dict[str, list[Trade]]) -> bool:
    """Sent while the streamer listened, or repeated when it came back: the newest before."""
    ((away_from, away_to),) = PAST.outages
    newest_before = max(row.trade_id for row in trades[trade.product_id] if row.time <= away_to)
    return not away_from < trade.time <= away_to or trade.trade_id == newest_before


def _as_mart(trade: Trade) -> Row:
    traded_at = EPOCH + dt.timedelta(microseconds=trade.time)
    return {
        "product_id": trade.product_id,
        "trade_id": trade.trade_id,
        "sequence": trade.sequence,
        "traded_at": traded_at,
        "traded_date": traded_at.date(),
        "maker_side": trade.maker_side,
        "taker_side": trade.taker_side,
        "price": Decimal(trade.price) / E8,
        "size": Decimal(trade.size) / E8,
        "maker_order_id": order_id_text(trade.maker_order_id),
        "taker_order_id": order_id_text(trade.taker_order_id),
    }


def _whole_minutes() -> set[dt.datetime]:
    """Before the outage and after it, but for the minute in the middle of which the streamer came back."""
    ((away_from, away_to),) = PAST.outages
    back = away_to // MINUTE * MINUTE + MINUTE
    instants = [*range(PAST.start, away_from, MINUTE), *range(back, PAST.end, MINUTE)]
    return {EPOCH + dt.timedelta(microseconds=at) for at in instants}


def _ohlcv(candle: Row) -> list[Decimal]:
    return [candle[name] for name in ("open", "high", "low", "close", "volume")]


def _ohlcv_of_truth(candle: Candle) -> list[Decimal]:
    return [Decimal(value) / E8 for value in (candle.open, candle.high, candle.low, candle.close, candle.volume)]


def _loaded(market: Market, spool: Spool) -> Iterator[feed.LoadedBatch]:
    """What the oracle has to know, from the ledger and from the lines of the segments."""
    for batch in market.rows("select batch_id, loaded_at, segments from {ops}.batches"):
        records: list[Row] = []
        for segment in batch["segments"]:
            (path,) = spool.folder(State.LOADED).glob(segment["segment"])
            records += [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        yield feed.LoadedBatch(batch["batch_id"], batch["loaded_at"], records)
