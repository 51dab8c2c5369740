"""Candles, days and hours: longer times, made of minutes and their trades."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

from tests.dbt.feed import Row
from tests.dbt.oracle.figures import PRODUCT_KEYS, SIX_DECIMALS, floor, less, ratio, squared_return, time_key
from tests.dbt.oracle.minutes import means, ohlc

#: What sums up over minutes, and is unknown in a minute that is not covered.
SUMS = (
    "volume",
    "notional",
    "buy_volume",
    "sell_volume",
    "buy_count",
    "sell_count",
    "realised_variance",
    "quoted_count",
    "sized_count",
    "price_sum",
    "notional_e8",
    "spread_sum",
    "spread_bps_sum",
    "depth_sum",
)


def _groups(
    minutes: Iterable[Row], start: Callable[[Row], dt.datetime]
) -> Iterator[tuple[str, dt.datetime, list[Row], list[Row]]]:
    """Product, start, minutes and trades of each group that has a minute, in order."""
    groups: dict[tuple[str, dt.datetime], list[Row]] = defaultdict(list)
    for minute in minutes:
        groups[minute["product_id"], start(minute)].append(minute)
    for (product_id, instant), members in sorted(groups.items()):
        yield product_id, instant, members, [trade for minute in members for trade in minute["trades"]]


def _ends(own: Sequence[Row]) -> Row:
    ids = [trade["trade_id"] for trade in own]
    return {"first_trade_id": min(ids, default=None), "last_trade_id": max(ids, default=None)}


def candles(minutes: Iterable[Row], length: int) -> list[Row]:
    rows = []
    for product_id, instant, members, own in _groups(minutes, lambda row: floor(row["candle_at"], length)):
        covered = sum(minute["is_complete"] for minute in members)
        previous = members[0]["previous_close"]
        knows = [minute for minute in members if minute["volume"] is not None]
        rows.append(
            {
                "product_key": PRODUCT_KEYS[product_id],
                "time_key": time_key(instant),
                "product_id": product_id,
                **_ends(own),
                **ohlc([trade["price"] for trade in own], previous if covered == length else None),
                **means(own),
                **{name: sum(minute[name] for minute in knows) if knows else None for name in SUMS},
                "previous_close": previous,
                "trade_count": len(own),
                "missing_count": sum(minute["missing_count"] for minute in members),
                "covered_minutes": covered,
                "is_gap_filled": covered == length and not own,
                "is_complete": covered == length,
                "traded_date": instant.date(),
                "candle_at": instant,
            }
        )
    return rows


def days(minutes: Iterable[Row]) -> list[Row]:
    rows = []
    for product_id, instant, members, own in _groups(minutes, lambda row: floor(row["candle_at"], 1440)):
        covered = [minute for minute in members if minute["is_complete"]]
        in_covered = sum(minute["trade_count"] for minute in covered)
        prices = ohlc([trade["price"] for trade in own], None)
        volume = sum((trade["size"] for trade in own), Decimal())
        bought = [trade["size"] for trade in own if trade["taker_side"] == "buy"]
        previous = members[0]["previous_close"]
        span, change = less(prices["high"], prices["low"]), less(prices["close"], previous)
        squares = sum(
            (
                squared_return(minute["close"], minute["previous_close"])
                for minute in covered
                if minute["trade_count"] and minute["previous_close"] is not None
            ),
            Decimal(),
        )
        mean = means(own)
        rows.append(
            {
                "product_key": PRODUCT_KEYS[product_id],
                "product_id": product_id,
                **_ends(own),
                **prices,
                "previous_close": previous,
                "average_price": mean["average_price"],
                "vwap": mean["vwap"],
                "high_low_range": span,
                "high_low_range_percent": ratio(None if span is None else 100 * span, prices["low"]),
                "change_24h": change,
                "change_24h_percent": ratio(None if change is None else 100 * change, previous),
                "realised_volatility_percent": (squares.sqrt() / 100).quantize(SIX_DECIMALS, ROUND_HALF_UP),
                "realised_variance": sum((minute["realised_variance"] or 0 for minute in members), Decimal()),
                "volume": volume,
                "average_trade_volume": ratio(volume, len(own)),
                "buy_volume": sum(bought, Decimal()),
                "sell_volume": volume - sum(bought, Decimal()),
                "notional": sum((trade["notional"] for trade in own), Decimal()),
                "buy_volume_ratio": ratio(sum(bought, Decimal()), volume),
                "sell_pressure_index": ratio(volume - sum(bought, Decimal()), sum(bought, Decimal())),
                "order_flow_imbalance": mean["order_flow_imbalance"],
                "trade_count": len(own),
                "buy_count": len(bought),
                "sell_count": len(own) - len(bought),
                "buy_ratio": ratio(len(bought), len(own)),
                "missing_count": sum(minute["missing_count"] for minute in members),
                "covered_minutes": len(covered),
                "covered_trade_count": in_covered,
                "trades_per_minute": ratio(in_covered, len(covered)),
                "trades_per_hour": ratio(60 * in_covered, len(covered)),
                "is_complete": len(covered) == 1440,
                "traded_date": instant.date(),
                "last_covered_at": max((minute["candle_at"] for minute in covered), default=None),
            }
        )
    return rows


def market_hours(minutes: Iterable[Row]) -> list[Row]:
    rows = []
    for product_id, instant, members, own in _groups(minutes, lambda row: floor(row["candle_at"], 60)):
        mean = means(own)
        quoted = [trade["spread_bps"] for trade in own if trade["spread_bps"] is not None]
        knows = any(minute["volume"] is not None for minute in members)
        rows.append(
            {
                "product_key": PRODUCT_KEYS[product_id],
                "time_key": time_key(instant),
                "product_id": product_id,
                "average_liquidity_depth": mean["average_depth"],
                "average_spread": mean["average_spread"],
                "average_spread_percent": ratio(sum(quoted, Decimal()), 100 * len(quoted)),
                "average_price": mean["average_price"],
                "vwap": mean["vwap"],
                "volume": sum((trade["size"] for trade in own), Decimal()) if knows else None,
                "trade_count": len(own),
                "covered_minutes": sum(minute["is_complete"] for minute in members),
                "traded_date": instant.date(),
                "hour_at": instant,
            }
        )
    return rows


def completeness_hours(minutes: Iterable[Row]) -> list[Row]:
    rows = []
    for product_id, instant, members, own in _groups(minutes, lambda row: floor(row["candle_at"], 60)):
        missing = sum(minute["missing_count"] for minute in members)
        covered = sum(minute["is_complete"] for minute in members)
        texts = [minute["missing_trade_ids"] for minute in members if minute["missing_trade_ids"]]
        rows.append(
            {
                "product_key": PRODUCT_KEYS[product_id],
                "time_key": time_key(instant),
                "product_id": product_id,
                **_ends(own),
                "missing_trade_ids": ", ".join(texts)[:1000] or None,
                "expected_count": len(own) + missing,
                "known_count": len(own),
                "missing_count": missing,
                "completeness_percent": ratio(100 * len(own), len(own) + missing),
                "covered_minutes": covered,
                "is_complete": covered == 60,
                "traded_date": instant.date(),
                "hour_at": instant,
            }
        )
    return rows
