"""Numbers, keys and instants that all marts share."""

import datetime as dt
import math
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, localcontext

#: FARM_FINGERPRINT of the ids, from Google's reference implementation of GoogleSQL.
PRODUCT_KEYS = {
    "BAND-BTC": -9208427322692186711,
    "BAND-GBP": -3847300558102602507,
    "BTC-USD": -1790907721260969877,
    "CRV-EUR": 5025683241665565033,
    "DASH-BTC": 7792938953182630421,
    "ETH-USD": -7387517882562097030,
    "NMR-EUR": 7948270033700302009,
    "NU-GBP": -8594453415162528181,
    "SKL-BTC": -2864685220110367847,
    "SKL-GBP": -8580292575672706652,
    "SKL-USD": 26987575119350240,
    "XRP-USD": -6808737733727649022,
    "YFI-BTC": 2149860399577592640,
}
SIDE_KEYS = {"buy": 1, "sell": 2}
OPPOSITE = {"buy": "sell", "sell": "buy"}
NINE_DECIMALS = Decimal("0.000000001")
SIX_DECIMALS = Decimal("0.000001")
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)


def ratio(dividend: Decimal | int | None, divisor: Decimal | int | None) -> Decimal | None:
    """The quotient with 9 decimals, half away from zero; None where there is none."""
    if dividend is None or not divisor:
        return None
    with localcontext(prec=80):
        return (Decimal(dividend) / Decimal(divisor)).quantize(NINE_DECIMALS, ROUND_HALF_UP)


def squared_return(price: Decimal, previous: Decimal) -> Decimal:
    """Of the logarithm, in square basis points with 6 decimals."""
    with localcontext(prec=40):
        return ((10_000 * (price / previous).ln()) ** 2).quantize(SIX_DECIMALS, ROUND_HALF_UP)


def less(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    """The difference; None where a part is."""
    return None if left is None or right is None else left - right


def nearest_rank(values: Iterable[int], percent: int) -> int | None:
    """The least value that `percent` of all do not exceed; None of none."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def microseconds(span: dt.timedelta) -> int:
    """A span in whole microseconds."""
    return span // dt.timedelta(microseconds=1)


def floor(instant: dt.datetime, minutes: int) -> dt.datetime:
    """Begin of the UTC minute, hour or day."""
    seconds = int(instant.timestamp()) // (60 * minutes) * 60 * minutes
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def time_key(instant: dt.datetime) -> int:
    """Minute of the UTC day."""
    return instant.hour * 60 + instant.minute


def range_text(first: int, last: int) -> str:
    """As 7 or 7-9."""
    return str(first) if first == last else f"{first}-{last}"
