"""The made-up market of one product: a seeded random walk in whole price increments.

Every trade's randomness is a hash of seed, product and trade id, and a sweep (the trades of one taker order) is
recorded whole or not at all. So the trades of a product, their prices and sizes depend on the seed alone, whatever
the rate and however often the process was killed. Only times, sequences and which product trades next depend on the
clock.
"""

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from simulator.catalogue import Product
from simulator.instants import SECOND
from simulator.trade import Side, Trade

#: Trades of a sweep, drawn by one byte: mostly one, at times a cascade; 37 share a microsecond in the recordings.
SWEEP_LENGTHS = (1,) * 200 + (2,) * 30 + (3,) * 15 + (5,) * 7 + (12,) * 3 + (37,)
MEAN_SWEEP_LENGTH = sum(SWEEP_LENGTHS) / len(SWEEP_LENGTHS)

#: Factors of the usual size in thousandths: many small trades, few large ones.
_SIZE_FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 800, 1000, 2000, 4000, 8000, 30_000)

#: The product's full stream (orders included, which we do not show) advances about 1,000 times a second, as BTC-USD's
#: does in the recordings: sequences of trades are sparse.
_SEQUENCE_STEP_US = SECOND // 1000

_UUID4_MASK = ~(0xF000 << 64 | 0xC000 << 48)
_UUID4_BITS = 0x4000 << 64 | 0x8000 << 48


class Quote(NamedTuple):
    """Best bid and ask after a trade, in 10^-8."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int


class _Draw(NamedTuple):
    maker_order_id: bytes
    taker_order_id: bytes
    step: int
    side: int
    sweep: int
    size_factor: int
    size: int
    bid_size: int
    ask_size: int
    spread: int


_DRAW = Struct("<16s16sIHBBIIIH")


class Walk:
    """The walk of one product, resumed behind its last recorded trade."""

    def __init__(self, product: Product, seed: int, last: Trade | None) -> None:
        self.product = product
        self.last = last
        self._key = blake2b(str(seed).encode(), digest_size=16).digest()
        self._sequence = last.sequence if last else 0

    def sweep(self, at: int, length: int | None = None) -> Sequence[Trade]:
        """The next trades, all in one microsecond.

        `length` overrides how many. The walk stands behind them afterwards.
        """
        trade_id = self.last.trade_id + 1 if self.last else 1
        first = self._draw(trade_id)
        at = max(at, self.last.time) if self.last else at
        maker_side: Side = "sell" if self._taker_buys(first) else "buy"
        trades = []
        for offset in range(length or SWEEP_LENGTHS[first.sweep]):
            draw = first if offset == 0 else self._draw(trade_id + offset)
            trade = Trade(
                self.product.product_id,
                trade_id + offset,
                self.next_sequence(at),
                at,
                maker_side,
                self._price(draw, maker_side, is_first=offset == 0),
                self._size(draw),
                _uuid4(draw.maker_order_id),
                _uuid4(first.taker_order_id),
            )
            self.last = trade
            trades.append(trade)
        return trades

    def next_sequence(self, at: int) -> int:
        """The next position in the product's stream.

        Strictly increasing, also over a restart, because it follows the time.
        """
        self._sequence = max(self._sequence + 1, at // _SEQUENCE_STEP_US)
        return self._sequence

    def quote(self, trade: Trade) -> Quote:
        """Best bid and ask right after a trade: the taker stands at the price it took."""
        draw = self._draw(trade.trade_id)
        tick = self.product.quote_increment
        spread = tick * (1 + draw.spread % 8)
        bid = trade.price if trade.maker_side == "buy" else max(tick, trade.price - spread)
        sizes = (self._level_size(draw.bid_size), self._level_size(draw.ask_size))
        return Quote(bid, sizes[0], bid + spread if trade.maker_side == "buy" else trade.price, sizes[1])

    def _taker_buys(self, draw: _Draw) -> bool:
        """Even chances, a little less for what leads further away from the usual price."""
        usual = self.product.price
        price = self.last.price if self.last else usual
        lean = min(max((price - usual) * 20_000 // usual, -20_000), 20_000)
        return draw.side < 32_768 - lean

    def _price(self, draw: _Draw, maker_side: Side, *, is_first: bool) -> int:
        if self.last is None:
            return self.product.price
        tick = self.product.quote_increment
        ticks = self.last.price // tick
        # Half a basis point a sweep at most; inside a sweep a taker only ever meets the same or a worse price.
        reach = max(2, ticks // 20_000) if is_first else 2
        step = draw.step % (reach + 1)
        return tick * (ticks + step if maker_side == "sell" else max(1, ticks - step))

    def _size(self, draw: _Draw) -> int:
        increment = self.product.base_increment
        size = self.product.size * _SIZE_FACTORS[draw.size_factor % 16] * (500 + draw.size % 1_000_000) // 500_000_000
        return max(1, size // increment) * increment

    def _level_size(self, drawn: int) -> int:
        increment = self.product.base_increment
        return max(1, self.product.size * (1 + drawn % 10_000) // 2_000 // increment) * increment

    def _draw(self, trade_id: int) -> _Draw:
        text = f"{self.product.product_id}:{trade_id}"
        return _Draw._make(_DRAW.unpack(blake2b(text.encode(), digest_size=_DRAW.size, key=self._key).digest()))


def _uuid4(random: bytes) -> bytes:
    return (int.from_bytes(random) & _UUID4_MASK | _UUID4_BITS).to_bytes(16)
