"""Instants as integers of microseconds since 1970 (UTC), the resolution of the exchange's `time`."""

import functools
import time
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """The wall clock as it was at the start, carried on by the monotonic clock: it never goes back."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        """Microseconds since 1970."""
        return (self._offset_ns + time.monotonic_ns()) // 1000


def rfc3339(instant: int) -> str:
    """`2026-07-07T22:58:16.156605Z`, always six places."""
    second, microsecond = divmod(instant, SECOND)
    return f"{_second_text(second)}.{microsecond:06d}Z"


def parse_rfc3339(text: str) -> int:
    """Parse a time with an offset, or seconds since 1970; finer than microseconds is cut off. Raises ValueError."""
    if text.isdecimal():
        return int(text) * SECOND
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


@functools.lru_cache(maxsize=256)
def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")
