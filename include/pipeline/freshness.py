"""The last look of a run: is every product's newest trade in the marts, and new?

A product is *fresh* when its newest trade is no older than the limit, *quiet* when it is older and a fresh heartbeat
says that there was none since, and *stale* otherwise. A product of which nothing was ever seen is *unknown*.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from include.warehouse.freshness import Freshness, ProductFreshness, read
from include.warehouse.warehouse import Warehouse

_NAMED_MAX = 20


class DataStale(Exception):
    """Products are stale in the marts. The text names them and says what shows it."""


class CaptureStopped(Exception):
    """Nothing was received from any streamer for longer than the limit."""


class FreshnessReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on every product."""

    fresh: tuple[str, ...]
    quiet: tuple[str, ...]
    stale: dict[str, str]
    """Product → what shows it."""
    unknown: tuple[str, ...]
    received_at: datetime | None
    traded_at: datetime | None
    """Exchange time of the newest trade of all."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for an XCom; of many products the numbers only."""
        return {
            "fresh": len(self.fresh),
            "quiet": len(self.quiet),
            "stale": dict(list(self.stale.items())[:_NAMED_MAX]),
            "unknown": list(self.unknown[:_NAMED_MAX]),
            "received_at": _text(self.received_at),
            "traded_at": _text(self.traded_at),
        }


def look(warehouse: Warehouse, products: Collection[str], *, limit_seconds: int) -> FreshnessReport:
    """Read and judge. `products` are those the streamer is told to capture by their ids."""
    now = datetime.now(UTC)
    return judge(read(warehouse.statements, now=now), products, now=now, limit_seconds=limit_seconds)


def judge(freshness: Freshness, products: Collection[str], *, now: datetime, limit_seconds: int) -> FreshnessReport:
    """The verdict on what was read.

    Products named by their ids are judged whatever happens; others, which a rule like `all` brings and takes away,
    while heartbeats of theirs arrive.
    """
    limit = timedelta(seconds=limit_seconds)
    known = {each.product_id: each for each in freshness.products}
    names = dict.fromkeys([*products, *(name for name, each in known.items() if _beats(each, now, limit))])
    fresh, quiet, unknown, stale = [], [], [], {}
    for name in names:
        product = known.get(name)
        if product is None or (product.traded_at is None and product.beat_at is None):
            unknown.append(name)
        elif product.traded_at is not None and now - product.traded_at <= limit:
            fresh.append(name)
        elif problem := _problem(product, now, limit):
            stale[name] = problem
        else:
            quiet.append(name)
    return FreshnessReport(
        fresh=tuple(fresh),
        quiet=tuple(quiet),
        stale=stale,
        unknown=tuple(unknown),
        received_at=freshness.received_at,
        traded_at=max((each.traded_at for each in freshness.products if each.traded_at), default=None),
    )


def insist(report: FreshnessReport, *, now: datetime, run_started_at: datetime, limit_seconds: int) -> None:
    """Raise CaptureStopped or DataStale when the report is bad.

    What was received after the run began is for the next one: that it is not there says nothing about capture, but
    marts are as old as they are.
    """
    limit = timedelta(seconds=limit_seconds)
    if report.received_at is not None and run_started_at - report.received_at > limit:
        raise CaptureStopped(
            f"the last record that was loaded was received at {_text(report.received_at)}, "
            f"{_age(report.received_at, run_started_at)} before the run began "
            f"(PULSE_FRESHNESS_LIMIT_SECONDS={limit_seconds}): no streamer works on this spool, or its segments are "
            f"not loaded. Hint: docs/runbooks/capture_stopped.md"
        )
    if report.stale:
        named = [f"{product}: {problem}" for product, problem in list(report.stale.items())[:_NAMED_MAX]]
        took_long = f" The run itself took {_age(run_started_at, now)}." if now - run_started_at > limit else ""
        raise DataStale(
            f"{len(report.stale)} of {len(report.stale) + len(report.fresh) + len(report.quiet)} products are stale "
            f"(PULSE_FRESHNESS_LIMIT_SECONDS={limit_seconds}).{took_long} {'; '.join(named)}. "
            f"Hint: docs/runbooks/data_stale.md"
        )


def _beats(product: ProductFreshness, now: datetime, limit: timedelta) -> bool:
    return product.beat_at is not None and now - product.beat_at <= limit


def _problem(product: ProductFreshness, now: datetime, limit: timedelta) -> str:
    """What shows that trades are missing; empty when a fresh heartbeat knows of no newer trade."""
    if product.traded_at is None:
        newest = "no trade in the marts"
    else:
        newest = f"newest trade {product.trade_id} of {_text(product.traded_at)}, {_age(product.traded_at, now)} ago"
    if product.beat_at is None:
        return f"{newest}, and no heartbeat"
    if not _beats(product, now, limit):
        return f"{newest}, and no heartbeat for {_age(product.beat_at, now)}"
    if product.last_trade_id is not None and product.last_trade_id > (product.trade_id or 0):
        return f"{newest}, but heartbeats know of trade {product.last_trade_id}"
    return ""


def _age(moment: datetime, now: datetime) -> str:
    return f"{(now - moment).total_seconds():.0f} s"


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
