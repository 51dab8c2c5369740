"""The verdict on the newest trades in the marts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.pipeline.freshness import CaptureStopped, DataStale, FreshnessReport, insist, judge
from include.warehouse.freshness import Freshness, ProductFreshness

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LIMIT = 600


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW - timedelta(seconds=seconds)


def product(name: str, *, traded: float | None, trade_id: int | None, beat: float | None, last: int | None) -> Any:
    return ProductFreshness(
        product_id=name, traded_at=ago(traded), trade_id=trade_id, beat_at=ago(beat), last_trade_id=last
    )


def verdict(*products: ProductFreshness, received: float | None = 5, named: tuple[str, ...] = ()) -> FreshnessReport:
    names = named or tuple(each.product_id for each in products)
    return judge(Freshness(products=products, received_at=ago(received)), names, now=NOW, limit_seconds=LIMIT)


def test_a_new_trade_is_fresh_whatever_the_heartbeats_say() -> None:
    """Also at exactly the limit, and where the heartbeat channel is not subscribed."""
    report = verdict(
        product("A-USD", traded=LIMIT, trade_id=7, beat=1, last=9),
        product("B-USD", traded=1, trade_id=7, beat=None, last=None),
    )

    assert report.fresh == ("A-USD", "B-USD")


def test_a_product_without_trades_is_quiet_while_heartbeats_say_so() -> None:
    """Hours without a trade are no alarm when a fresh heartbeat names the newest trade that is in the marts."""
    report = verdict(product("SKL-GBP", traded=7200, trade_id=7, beat=20, last=7))

    assert (report.quiet, report.stale) == (("SKL-GBP",), {})
    insist(report, now=NOW, run_started_at=NOW, limit_seconds=LIMIT)


@pytest.mark.parametrize(
    ("beat", "last", "shows"),
    [
        (20, 9, "heartbeats know of trade 9"),
        (LIMIT + 1, 7, "no heartbeat for 601 s"),
        (None, None, "and no heartbeat"),
    ],
)
def test_old_trades_are_stale_unless_proven_quiet(beat: float | None, last: int | None, shows: str) -> None:
    """The marts lag behind what heartbeats know, or nobody knows: the error names the product and what shows it."""
    report = verdict(product("BTC-USD", traded=LIMIT + 1, trade_id=7, beat=beat, last=last))

    with pytest.raises(DataStale, match=r"1 of 1 products are stale.*BTC-USD: newest trade 7 of") as e:
        insist(report, now=NOW, run_started_at=NOW, limit_seconds=LIMIT)
    assert shows in str(e.value)


def test_a_product_that_never_traded_is_stale_only_when_it_should_have() -> None:
    """A heartbeat that knows a trade the marts do not have."""
    report = verdict(
        product("NEW-USD", traded=None, trade_id=None, beat=1, last=3),
        product("IDLE-USD", traded=None, trade_id=None, beat=1, last=None),
    )

    assert (list(report.stale), report.quiet) == (["NEW-USD"], ("IDLE-USD",))


def test_a_product_that_was_never_seen_is_named_and_no_alarm() -> None:
    """It is in PULSE_PRODUCTS and the exchange may not know it: the streamer says so."""
    report = verdict(named=("XXX-USD",))

    assert report.unknown == ("XXX-USD",)
    insist(report, now=NOW, run_started_at=NOW, limit_seconds=LIMIT)


def test_products_of_a_rule_are_judged_while_they_beat() -> None:
    """With PULSE_PRODUCTS=all a product that left the exchange is no alarm for ever; one that beats is looked at."""
    report = judge(
        Freshness(
            products=(
                product("GONE-USD", traded=7200, trade_id=7, beat=3600, last=7),
                product("HERE-USD", traded=7200, trade_id=7, beat=1, last=8),
            ),
            received_at=NOW,
        ),
        (),
        now=NOW,
        limit_seconds=LIMIT,
    )

    assert list(report.stale) == ["HERE-USD"]


def test_nothing_received_at_all_is_another_alarm() -> None:
    """Then no product is to blame: no streamer works."""
    report = verdict(product("BTC-USD", traded=7200, trade_id=7, beat=7200, last=7), received=LIMIT + 1)

    with pytest.raises(CaptureStopped, match="received at 2026-01-01T11:49:59Z, 601 s before the run began"):
        insist(report, now=NOW, run_started_at=NOW, limit_seconds=LIMIT)


def test_a_run_that_took_long_is_no_sign_of_a_capture_that_stopped() -> None:
    """What was received meanwhile is for the next run. The marts are stale all the same, and the text says why."""
    started = NOW - timedelta(seconds=2 * LIMIT)
    report = verdict(
        product("BTC-USD", traded=2 * LIMIT + 5, trade_id=7, beat=2 * LIMIT + 5, last=7), received=2 * LIMIT + 5
    )

    with pytest.raises(DataStale, match="The run itself took 1200 s"):
        insist(report, now=NOW, run_started_at=started, limit_seconds=LIMIT)
    with pytest.raises(CaptureStopped):
        insist(report, now=NOW, run_started_at=NOW, limit_seconds=LIMIT)


def test_the_outcome_is_bounded() -> None:
    """Of hundreds of stale products an XCom names twenty."""
    report = verdict(*(product(f"P{n}-USD", traded=7200, trade_id=1, beat=1, last=2) for n in range(400)))

    outcome = report.to_dict()

    assert len(outcome["stale"]) == 20
    assert outcome["traded_at"] == "2026-01-01T10:00:00Z"
