"""One trade, as the exchange knows it."""

from typing import Literal, NamedTuple
from uuid import UUID

Side = Literal["buy", "sell"]


class Trade(NamedTuple):
    """A match of two orders. Prices and sizes in 10^-8, time in microseconds since 1970."""

    product_id: str
    trade_id: int
    sequence: int
    time: int
    maker_side: Side
    price: int
    size: int
    maker_order_id: bytes
    taker_order_id: bytes

    @property
    def taker_side(self) -> Side:
        """The other side: what a ticker calls `side`."""
        return "sell" if self.maker_side == "buy" else "buy"


def order_id_text(order_id: bytes) -> str:
    """The usual hexadecimal form of an order's UUID."""
    digits = order_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def order_id_bytes(text: str) -> bytes:
    """Parse the hexadecimal form. Raises ValueError."""
    return UUID(text).bytes
