"""Candles of one minute, and the proof that they are whole."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, localcontext
from itertools import pairwise

from tests.dbt.feed import LoadedBatch, Row
from tests.dbt.oracle.figures import DAY, MINUTE, PRODUCT_KEYS, floor, range_text, ratio, squared_return, time_key
from tests.dbt.oracle.messages import is_usable


def minutes(batches: Iterable[LoadedBatch], all_trades: Iterable[Row]) -> Iterator[Row]:
    """fct_candles_1m, by product and minute."""
    known: dict[str, dict[dt.datetime, tuple[list[Row], list[int]]]] = defaultdict(
        lambda: defaultdict(lambda: ([], []))
    )
    for trade in all_trades:
        known[trade["product_id"]][floor(trade["traded_at"], 1)][0].append(trade)
    for batch in batches:
        for record in batch.records:
            if record["type"] == "heartbeat" and is_usable(record):
                minute = floor(dt.datetime.fromisoformat(record["time"]), 1)
                known[record["product_id"]][minute][1].append(record["last_trade_id"])
    for product_id in sorted(known):
        yield from _minutes_of_a_product(product_id, known[product_id])


def _minutes_of_a_product(product_id: str, known: dict[dt.datetime, tuple[list[Row], list[int]]]) -> Iterator[Row]:
    instants = sorted(known)
    latest: Row | None = None
    for position, instant in enumerate(instants):
        own, beats = known[instant]
        before = instants[position - 1] if position else None
        after = instants[position + 1] if position + 1 < len(instants) else None
        if before is not None and instant - before > DAY:
            before = None
        if after is not None and after - instant > DAY:
            after = None
        yield _minute(
            product_id,
            instant,
            own,
            beats,
            known[before] if before else ([], []),
            known[after] if after else ([], []),
            latest,
        )
        if own:
            latest = own[-1]
        for offset in range(1, int((after - instant) / MINUTE) if after else 0):
            silent = instant + offset * MINUTE
            yield _minute(product_id, silent, [], [], known[instant], known[after or instant], latest)


def _minute(
    product_id: str,
    instant: dt.datetime,
    own: list[Row],
    beats: list[int],
    before: tuple[list[Row], list[int]],
    after: tuple[list[Row], list[int]],
    latest: Row | None,
) -> Row:
    ids = [trade["trade_id"] for trade in own]
    #: The newest ids known to lie before the minute, and after it the ids that nothing newer than them lies before.
    reached = {*([before[0][-1]["trade_id"]] if before[0] else []), *([max(before[1])] if before[1] else [])}
    left_off = {
        *([after[0][0]["trade_id"] - 1] if after[0] else []),
        *([min(after[1]), max(after[1])] if after[1] else []),
    }
    if ids:
        is_complete = (
            ids == list(range(ids[0], ids[-1] + 1)) and (ids[0] == 1 or ids[0] - 1 in reached) and ids[-1] in left_off
        )
    else:
        is_complete = bool(reached) and max(reached) in left_off
    missing = _missing(ids, beats, reached, after[0][0]["trade_id"] if after[0] else None)
    previous = None
    if latest is not None and instant - floor(latest["traded_at"], 1) <= DAY:
        previous = latest["price"]
    row: Row = {
        "product_key": PRODUCT_KEYS[product_id],
        "time_key": time_key(instant),
        "product_id": product_id,
        "first_trade_id": ids[0] if ids else None,
        "last_trade_id": ids[-1] if ids else None,
        "missing_trade_ids": ", ".join(range_text(*ends) for ends in missing) or None,
        "missing_count": sum(last - first + 1 for first, last in missing),
        "trade_count": len(own),
        "previous_close": previous,
        "is_complete": is_complete,
        "is_gap_filled": is_complete and not own,
        "traded_date": instant.date(),
        "candle_at": instant,
        "trades": own,
    }
    return row | _measures(own, previous, is_known=bool(own) or is_complete)


def _missing(ids: list[int], beats: list[int], reached: set[int], next_id: int | None) -> list[tuple[int, int]]:
    counted_to = max(beats, default=None)
    if counted_to is not None and next_id is not None:
        counted_to = min(counted_to, next_id - 1)
    expected_from = max(reached) + 1 if reached else (ids[0] if ids else None)
    ends = [*ids, counted_to] if counted_to is not None else ids
    if expected_from is None or not ends:
        return []
    present = set(ids)
    holes: list[tuple[int, int]] = []
    for trade_id in range(expected_from, max(ends) + 1):
        if trade_id not in present:
            if holes and holes[-1][1] == trade_id - 1 and trade_id - 1 not in present:
                holes[-1] = (holes[-1][0], trade_id)
            else:
                holes.append((trade_id, trade_id))
    return holes


def _measures(own: list[Row], previous: Decimal | None, *, is_known: bool) -> Row:
    prices = [trade["price"] for trade in own]
    volume = sum((trade["size"] for trade in own), Decimal())
    bought = [trade for trade in own if trade["taker_side"] == "buy"]
    sold = [trade for trade in own if trade["taker_side"] == "sell"]
    quoted = [trade for trade in own if trade["spread_bps"] is not None]
    sized = [trade for trade in own if trade["liquidity_depth"] is not None]
    sums: Row = {
        "volume": volume,
        "notional": sum((trade["notional"] for trade in own), Decimal()),
        "buy_volume": sum((trade["size"] for trade in bought), Decimal()),
        "sell_volume": sum((trade["size"] for trade in sold), Decimal()),
        "buy_count": len(bought),
        "sell_count": len(sold),
        "realised_variance": sum((squared_return(price, last) for last, price in pairwise(prices)), Decimal()),
        "quoted_count": len(quoted),
        "sized_count": len(sized),
        "price_sum": sum(prices, Decimal()),
        "notional_e8": sum((trade["price"] * trade["size"] * 10**8 for trade in own), Decimal()),
        "spread_sum": sum((trade["spread"] for trade in quoted), Decimal()),
        "spread_bps_sum": sum((trade["spread_bps"] for trade in quoted), Decimal()),
        "depth_sum": sum((trade["liquidity_depth"] for trade in sized), Decimal()),
    }
    row = ohlc(prices, previous if is_known else None)
    return row | (sums | means(own) if is_known else dict.fromkeys((*sums, *means([]))))


def ohlc(prices: Sequence[Decimal], otherwise: Decimal | None) -> Row:
    if not prices:
        return dict.fromkeys(("open", "high", "low", "close"), otherwise)
    return {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}


def means(own: Sequence[Row]) -> Row:
    """Of trades, from the trades themselves."""
    quoted = [trade for trade in own if trade["spread_bps"] is not None]
    sized = [trade["liquidity_depth"] for trade in own if trade["liquidity_depth"] is not None]
    volume = sum((trade["size"] for trade in own), Decimal())
    signed = sum((trade["size"] if trade["taker_side"] == "buy" else -trade["size"] for trade in own), Decimal())
    return {
        "average_price": ratio(sum((trade["price"] for trade in own), Decimal()), len(own)),
        "vwap": _vwap(own),
        "order_flow_imbalance": ratio(signed, volume),
        "average_spread": ratio(sum((trade["spread"] for trade in quoted), Decimal()), len(quoted)),
        "average_spread_bps": ratio(sum((trade["spread_bps"] for trade in quoted), Decimal()), len(quoted)),
        "average_depth": ratio(sum(sized, Decimal()), len(sized)),
    }


def _vwap(own: Iterable[Row]) -> Decimal | None:
    with localcontext(prec=80):
        weighted = sum((trade["price"] * trade["size"] for trade in own), Decimal())
        return ratio(weighted, sum((trade["size"] for trade in own), Decimal()))


def public(minute: Row) -> Row:
    """The columns of fct_candles_1m, without the trades themselves."""
    return {name: value for name, value in minute.items() if name != "trades"}
