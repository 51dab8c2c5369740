"""The trades inside a recording, as the truth and the REST answers of a replay."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from simulator.catalogue import Product
from simulator.decimals import ONE, PLACES, places_of, scaled
from simulator.frames import Print
from simulator.instants import parse_rfc3339
from simulator.ledger import Ledger
from simulator.recording import read_recording, recorded_product_ids
from simulator.rolling import Rolling
from simulator.trade import Side, Trade, order_id_bytes
from simulator.walk import Quote

_LOG = logging.getLogger(__name__)


class _Typed(msgspec.Struct):
    type: str


class _Match(msgspec.Struct):
    trade_id: int
    maker_order_id: str
    taker_order_id: str
    side: Side
    size: str
    price: str
    product_id: str
    sequence: int
    time: str


class RecordedMarket:
    """Distinct trades of the recording's `match` and `last_match` messages, put into a ledger.

    The newest of each product.
    """

    def __init__(self, path: Path, ledger: Ledger) -> None:
        """Read the whole recording once. Raises RecordingError."""
        trades: dict[tuple[str, int], Trade] = {}
        for trade in _trades(path):
            trades.setdefault((trade.product_id, trade.trade_id), trade)
        ordered = sorted(trades.values(), key=lambda trade: (trade.product_id, trade.trade_id))
        ledger.append(ordered)
        self.trades = len(ordered)
        self.latest: dict[str, Print] = {}
        rolling: dict[str, Rolling] = {}
        for trade in ordered:
            summary = rolling.setdefault(trade.product_id, Rolling()).add(trade.time, trade.price, trade.size)
            self.latest[trade.product_id] = Print(
                trade, Quote(trade.price, trade.size, trade.price, trade.size), summary
            )
        self.products: Mapping[str, Product] = {
            product_id: _product(product_id, [trade for trade in ordered if trade.product_id == product_id])
            for product_id in recorded_product_ids(path)
        }


def fresh_ledger(path: Path) -> Ledger:
    """An empty ledger in place of an earlier replay's. Raises SimulatorError while another process uses it."""
    ledger = Ledger(path)
    ledger.clear()
    return ledger


def _trades(path: Path) -> Iterator[Trade]:
    unusable = 0
    for frame in read_recording(path):
        if not _is_match(frame.text):
            continue
        try:
            yield _trade(msgspec.json.decode(frame.text, type=_Match))
        except ValueError:  # msgspec's errors included
            unusable += 1
    if unusable:
        _LOG.warning("%s: %d matches that cannot be read are replayed, but missing in /truth and REST", path, unusable)


def _is_match(text: str) -> bool:
    try:
        return msgspec.json.decode(text, type=_Typed).type in {"match", "last_match"}
    except msgspec.DecodeError:
        return False  # a malformed frame may be part of a recording


def _trade(message: _Match) -> Trade:
    return Trade(
        message.product_id,
        message.trade_id,
        message.sequence,
        parse_rfc3339(message.time),
        message.side,
        scaled(message.price),
        scaled(message.size),
        order_id_bytes(message.maker_order_id),
        order_id_bytes(message.taker_order_id),
    )


def _product(product_id: str, trades: list[Trade]) -> Product:
    """Increments as fine as the recorded trades need."""
    price_places = max((places_of(trade.price) for trade in trades), default=2)
    size_places = max((places_of(trade.size) for trade in trades), default=PLACES)
    newest = trades[-1] if trades else None
    return Product(
        product_id,
        10 ** (PLACES - price_places),
        10 ** (PLACES - size_places),
        newest.price if newest else ONE,
        newest.size if newest else ONE,
    )
