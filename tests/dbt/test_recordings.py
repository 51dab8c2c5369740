"""Marts of recorded traffic, against the oracle and against figures counted by other means."""

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path

import pytest

from tests.dbt import feed, oracle
from tests.dbt.conftest import INCREMENT, ROOT, STORED, Market

RECORDINGS = Path(os.environ.get("PULSE_RECORDINGS", ROOT.parent / "shared" / "recordings"))

#: Per product: trades, first and last id, sum of sizes, sum of exact products of price and size.
BTC_ETH_2026 = {
    "BTC-USD": (345, 1052119288, 1052119632, Decimal("0.90258343"), Decimal("57324.4281569736")),
    "ETH-USD": (92, 825468236, 825468327, Decimal("24.71288767"), Decimal("43856.8251882513")),
}
HALF_OF_THE_LAST_DECIMAL = Decimal("0.0000000005")
IN_2026 = dt.datetime(2026, 7, 7, 22, 58, 16, tzinfo=dt.UTC)

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

if RECORDINGS.is_dir():

    def test_recordings_of_two_times(market: Market) -> None:
        """A minute of 2026, then one of 2021 that comes late with the list of its products: exact to the last digit."""
        new = feed.recording(RECORDINGS / "exchange_btc_eth_2026-07-07.ndjson", "20260707T225816Z-3f9a2c41", IN_2026)
        late_at = IN_2026 + dt.timedelta(hours=1)
        old = feed.recording(RECORDINGS / "exchange_10products_2021-04-17.txt", "20260707T235816Z-3f9a2c41", late_at)
        product_ids = {record["product_id"] for record in old.records}
        listing = feed.listing(RECORDINGS / "rest_products_2021.txt", product_ids, late_at)
        for batches in ([new], [old, listing]):
            market.load_raw(batches)
            market.load_ledger(batches)
            run = market.dbt.run(*INCREMENT, window=feed.window(batches))
            assert run.succeeded, run.error or run.of_status("error", "skipped")
            tested = market.dbt.run("test", "--select", "tag:every_run", window=feed.window(batches))
            assert set(tested.statuses.values()) == {"pass"}, tested.of_status("fail", "warn", "error")

        expected = oracle.marts([new, old, listing])
        assert market.differences({name: expected[name] for name in STORED}) == {}
        trades = market.mart("fct_trades")
        for product_id, figures in BTC_ETH_2026.items():
            own = [trade for trade in trades if trade["product_id"] == product_id]
            ids = [trade["trade_id"] for trade in own]
            volume = sum(trade["size"] for trade in own)
            notional = sum(trade["price"] * trade["size"] for trade in own)
            assert (len(own), min(ids), max(ids), volume, notional) == figures
            for trade in own:
                assert abs(trade["notional"] - trade["price"] * trade["size"]) <= HALF_OF_THE_LAST_DECIMAL
        assert len(trades) == 437 + 107

        sides = {
            (record["product_id"], record["trade_id"]): record["side"]
            for record in old.records
            if record["type"] == "ticker"
        }
        of_2021 = [trade for trade in trades if trade["traded_date"].year == 2021]
        assert sides == {(trade["product_id"], trade["trade_id"]): trade["taker_side"] for trade in of_2021}
        assert {trade["best_bid_size"] for trade in of_2021} == {None}
        assert None not in {trade["spread_bps"] for trade in of_2021}
        rejected = (
            "select * from {staging}.stg_coinbase__rejected where received_at >= timestamp '2020-01-01T00:00:00Z'"
        )
        assert market.rows(rejected) == []
