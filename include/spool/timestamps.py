"""UTC instants as text: microseconds since the epoch to and from RFC 3339."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

MICROSECONDS = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339_UTC = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z")
_CANONICAL_SHAPE = b"0000-00-00T00:00:00.000000Z"
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)


def format_second(seconds: int) -> str:
    """Seconds since the epoch as `2026-07-07T22:58:16`."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def format_us(microseconds: int) -> str:
    """Microseconds since the epoch as `2026-07-07T22:58:16.123456Z`: always six decimals, always `Z`."""
    seconds, fraction = divmod(microseconds, MICROSECONDS)
    return f"{format_second(seconds)}.{fraction:06d}Z"


def parse_ns(text: str) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 time with offset `Z` and zero to nine decimals; None for all else."""
    match = _RFC3339_UTC.fullmatch(text)
    if match is None:
        return None
    second, fraction = match.groups(default="")
    try:
        instant = datetime.fromisoformat(second + "+00:00")
    except ValueError:  # the form is right, the calendar is not: a 30th of February, a second 60
        return None
    seconds = int((instant - _EPOCH).total_seconds())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))


def are_canonical(texts: Sequence[str]) -> bool:
    """Whether all texts are instants exactly as `format_us` writes them, so that their order is that of time."""
    shapes = "\n".join(texts).encode().translate(_DIGITS_TO_ZERO)
    if shapes != b"\n".join([_CANONICAL_SHAPE] * len(texts)):
        return False
    try:
        msgspec.convert(texts, list[datetime])
    except msgspec.ValidationError:  # the form is right, the calendar is not
        return False
    return True


def is_canonical(text: str) -> bool:
    """Whether a text is an instant exactly as `format_us` writes it."""
    return len(text) == len(_CANONICAL_SHAPE) and parse_ns(text) is not None
