"""Exact decimals as integers of 10^-8, the finest increment of the exchange for prices and for sizes."""

import functools
import re

PLACES = 8
ONE: int = 10**PLACES

_PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")


def scaled(text: str) -> int:
    """`"63514.6"` → 6351460000000.

    Raises ValueError for anything but a plain decimal of at most eight significant places.
    """
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{text!r} is not a plain decimal")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > PLACES:
        raise ValueError(f"{text!r} has more than {PLACES} decimal places")
    return int(whole) * ONE + int(fraction.ljust(PLACES, "0"))


def trimmed(value: int) -> str:
    """Without trailing zeros, as prices and sizes of matches are written: `63514.6`, `0.2`, `985`."""
    whole, fraction = divmod(value, ONE)
    return f"{whole}.{fraction:08d}".rstrip("0") if fraction else str(whole)


def padded(value: int, places: int = PLACES) -> str:
    """With exactly this many places: those of the quote increment for best bid and ask, eight for volumes."""
    whole, fraction = divmod(value, ONE)
    return f"{whole}.{fraction:08d}"[: places - PLACES or None] if places else str(whole)


def product_text(value: int) -> str:
    """A sum of price × size, which has sixteen places, without trailing zeros."""
    whole, fraction = divmod(value, ONE * ONE)
    return f"{whole}.{fraction:016d}".rstrip("0") if fraction else str(whole)


@functools.cache
def places_of(increment: int) -> int:
    """Decimal places that an increment needs: 0.01 → 2, 1 → 0."""
    return len(trimmed(increment).partition(".")[2])
