"""Trades and tickers, each from its first receipt."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from tests.dbt.feed import TRADE_TYPES, LoadedBatch, Row
from tests.dbt.oracle.figures import NINE_DECIMALS, OPPOSITE, PRODUCT_KEYS, SIDE_KEYS, less, ratio, time_key


def is_usable(record: Row) -> bool:
    """Whether everything that a trade, ticker or heartbeat needs is there and readable."""
    if record["type"] == "malformed":
        return False
    needed: dict[str, object] = {"product_id": record.get("product_id"), "time": instant(record.get("time"))}
    if record["type"] == "heartbeat":
        needed["last_trade_id"] = record.get("last_trade_id") or None
    else:
        needed |= {"trade_id": record.get("trade_id"), "price": decimal(record.get("price"))}
    if record["type"] in TRADE_TYPES:
        needed |= {"size": decimal(record.get("size")), "side": OPPOSITE.get(record.get("side", ""))}
    return None not in needed.values()


def instant(text: str | None) -> dt.datetime | None:
    """A time of the exchange; None where it is none."""
    try:
        return dt.datetime.fromisoformat(text or "")
    except ValueError:
        return None


def decimal(text: str | None) -> Decimal | None:
    """A decimal as sent; None where it is none."""
    try:
        return Decimal(text or "none")
    except InvalidOperation:
        return None


def trades(batches: Iterable[LoadedBatch]) -> list[Row]:
    """fct_trades: of each trade the first receipt, with its quote, by product and trade."""
    quotes = {(row["product_id"], row["trade_id"]): row for row in tickers(batches)}
    return [
        _trade(record, batch, quotes.get((record["product_id"], record["trade_id"]), {}))
        for record, batch in _first_receipts(batches, TRADE_TYPES)
    ]


def tickers(batches: Iterable[LoadedBatch]) -> list[Row]:
    """fct_tickers: of each ticker the first receipt, by product and trade."""
    rows = []
    for record, batch in _first_receipts(batches, ("ticker",)):
        decimals = {
            name: decimal(record.get(name))
            for name in (
                "price",
                "last_size",
                "best_bid",
                "best_bid_size",
                "best_ask",
                "best_ask_size",
                "open_24h",
                "high_24h",
                "low_24h",
                "volume_24h",
                "volume_30d",
            )
        }
        change = less(decimals["price"], decimals["open_24h"])
        rows.append(
            _receipt(record, batch)
            | decimals
            | {
                "taker_side": record["side"] if record["side"] in OPPOSITE else None,
                "change_24h": change,
                "change_24h_percent": ratio(None if change is None else 100 * change, decimals["open_24h"]),
            }
        )
    return rows


def _first_receipts(batches: Iterable[LoadedBatch], types: Iterable[str]) -> Iterator[tuple[Row, LoadedBatch]]:
    copies: dict[tuple[str, int], list[tuple[tuple[object, ...], Row, LoadedBatch]]] = defaultdict(list)
    for batch in batches:
        for record in batch.records:
            if record["type"] in types and is_usable(record):
                receipt = (record["received_at"], record["session_id"], record["record_no"])
                copy = ((*receipt, batch.loaded_at, batch.batch_id), record, batch)
                copies[record["product_id"], record["trade_id"]].append(copy)
    for key in sorted(copies):
        _, record, batch = min(copies[key], key=lambda copy: copy[0])
        yield record, batch


def _receipt(record: Row, batch: LoadedBatch) -> Row:
    traded_at = dt.datetime.fromisoformat(record["time"])
    return {
        "product_key": PRODUCT_KEYS[record["product_id"]],
        "product_id": record["product_id"],
        "trade_id": record["trade_id"],
        "sequence": record.get("sequence"),
        "traded_date": traded_at.date(),
        "traded_at": traded_at,
        "received_at": dt.datetime.fromisoformat(record["received_at"]),
        "loaded_at": batch.loaded_at,
        "batch_id": batch.batch_id,
        "session_id": record["session_id"],
        "record_no": record["record_no"],
    }


def _trade(record: Row, batch: LoadedBatch, ticker: Row) -> Row:
    price, size = Decimal(record["price"]), Decimal(record["size"])
    bid, bid_size, ask, ask_size = (
        ticker.get(name) for name in ("best_bid", "best_bid_size", "best_ask", "best_ask_size")
    )
    spread = less(ask, bid)
    depth = None if bid_size is None or ask_size is None else bid_size + ask_size
    both = None if bid is None or ask is None else bid + ask
    row = _receipt(record, batch)
    return row | {
        "taker_side_key": SIDE_KEYS[OPPOSITE[record["side"]]],
        "time_key": time_key(row["traded_at"]),
        "maker_order_id": record.get("maker_order_id"),
        "taker_order_id": record.get("taker_order_id"),
        "maker_side": record["side"],
        "taker_side": OPPOSITE[record["side"]],
        "source": "rest" if record["streamer_id"].startswith("rest-") else "ws",
        "price": price,
        "size": size,
        "notional": (price * size).quantize(NINE_DECIMALS, ROUND_HALF_UP),
        "best_bid": bid,
        "best_bid_size": bid_size,
        "best_ask": ask,
        "best_ask_size": ask_size,
        "spread": spread,
        "mid": None if both is None else both / 2,
        "spread_bps": ratio(None if spread is None else 20_000 * spread, both),
        "liquidity_depth": depth,
        "bid_ask_strength_ratio": ratio(bid_size, ask_size),
        "market_pressure": ratio(less(bid_size, ask_size), depth),
        "is_last_match": record["type"] == "last_match",
    }
