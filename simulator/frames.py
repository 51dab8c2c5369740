"""The exchange's messages as it writes them: member order and number formats of the recordings.

Written by hand, not by a JSON library: every value is our own number, product id or UUID, none needs escaping.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from simulator.catalogue import Product
from simulator.decimals import padded, places_of, trimmed
from simulator.instants import rfc3339
from simulator.rolling import Summary
from simulator.trade import Trade, order_id_text
from simulator.walk import Quote

Topic = tuple[str, str]
"""Channel and product id."""


class Frame(NamedTuple):
    """One frame on its way to the connections that subscribed its topic."""

    topic: Topic
    type: str
    trade_id: int | None
    data: bytes
    is_text: bool = True
    only: int | None = None
    """Number of the one connection it is for; None for all."""
    but: int | None = None
    """Number of the one connection it is not for."""
    is_cut: bool = False
    """Cut in the middle: half of it is sent, then the TCP connection is closed."""


class Print(NamedTuple):
    """A trade with what its ticker says beside it."""

    trade: Trade
    quote: Quote
    summary: Summary


def match(trade: Trade, message_type: str = "match") -> Frame:
    """`match`, or `last_match` at a subscription. `side` is the maker's."""
    text = (
        f'{{"type":"{message_type}","trade_id":{trade.trade_id},"maker_order_id":"{order_id_text(trade.maker_order_id)}",'
        f'"taker_order_id":"{order_id_text(trade.taker_order_id)}","side":"{trade.maker_side}","size":"{trimmed(trade.size)}",'
        f'"price":"{trimmed(trade.price)}","product_id":"{trade.product_id}","sequence":{trade.sequence},"time":"{rfc3339(trade.time)}"}}'
    )
    return Frame(("matches", trade.product_id), message_type, trade.trade_id, text.encode())


def ticker(product: Product, made: Print) -> Frame:
    """One ticker a trade. `side` is the taker's."""
    trade, quote, summary = made
    places = places_of(product.quote_increment)
    text = (
        f'{{"type":"ticker","sequence":{trade.sequence},"product_id":"{trade.product_id}",'
        f'"price":"{trimmed(trade.price)}","open_24h":"{trimmed(summary.open_24h)}",'
        f'"volume_24h":"{padded(summary.volume_24h)}","low_24h":"{trimmed(summary.low_24h)}",'
        f'"high_24h":"{trimmed(summary.high_24h)}","volume_30d":"{padded(summary.volume_30d)}",'
        f'"best_bid":"{padded(quote.bid, places)}","best_bid_size":"{padded(quote.bid_size)}",'
        f'"best_ask":"{padded(quote.ask, places)}","best_ask_size":"{padded(quote.ask_size)}",'
        f'"side":"{trade.taker_side}","time":"{rfc3339(trade.time)}","trade_id":{trade.trade_id},'
        f'"last_size":"{trimmed(trade.size)}"}}'
    )
    return Frame(("ticker", trade.product_id), "ticker", trade.trade_id, text.encode())


def heartbeat(product_id: str, last_trade_id: int, sequence: int, at: int) -> Frame:
    """Once a second and product: the newest trade's id."""
    text = (
        f'{{"type":"heartbeat","last_trade_id":{last_trade_id},"product_id":"{product_id}","sequence":{sequence},'
        f'"time":"{rfc3339(at)}"}}'
    )
    return Frame(("heartbeat", product_id), "heartbeat", None, text.encode())


def subscriptions(channels: Mapping[str, Iterable[str]]) -> bytes:
    """The acknowledgement: everything the connection is subscribed to."""
    listed = [
        {"name": name, "product_ids": list(product_ids), "account_ids": None} for name, product_ids in channels.items()
    ]
    return _compact({"type": "subscriptions", "channels": listed})


def error(message: str, reason: str | None = None) -> bytes:
    """A refusal."""
    members = {"type": "error", "message": message}
    if reason is not None:
        members["reason"] = reason
    return _compact(members)


def _compact(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
