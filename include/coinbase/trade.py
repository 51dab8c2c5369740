"""Trades as `GET /products/{id}/trades` lists them, and the frames that become of them."""

from typing import Final

import msgspec

#: The `type` of a message that REST brought. The exchange's own messages have other types.
REST_TRADE: Final = "rest_trade"


class _Listed(msgspec.Struct):
    """What is looked at; everything else stays as sent."""

    trade_id: int
    time: str


class Trade(msgspec.Struct, frozen=True):
    """One row of the listing. `time` and `raw`, the whole JSON object, are as sent."""

    trade_id: int
    time: str
    raw: bytes

    def frame(self, product_id: str) -> bytes:
        """The message for the spool: the row's members verbatim, behind the two that say where it is from."""
        return b'{"type":"%b","product_id":"%b",%b' % (REST_TRADE.encode(), product_id.encode(), self.raw[1:])


_rows_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_listed_decoder = msgspec.json.Decoder(_Listed)


def decode_trades(body: bytes) -> list[Trade]:
    """The rows of an answer, in their order. Raises msgspec.DecodeError and UnicodeDecodeError."""
    rows = [bytes(raw) for raw in _rows_decoder.decode(body)]
    return [Trade(listed.trade_id, listed.time, raw) for raw in rows if (listed := _listed_decoder.decode(raw))]
