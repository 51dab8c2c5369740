"""Rolling statistics of one product as tickers carry them: 24 hours by the minute, 30 days by the hour."""

from collections import deque
from typing import NamedTuple

from simulator.instants import SECOND

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
_MINUTES_KEPT = 24 * 60
_HOURS_KEPT = 30 * 24


class Bar(NamedTuple):
    """Trades of one minute; `minute` counts minutes since 1970."""

    minute: int
    open: int
    high: int
    low: int
    volume: int


class Summary(NamedTuple):
    """The figures of a ticker, in 10^-8."""

    open_24h: int
    high_24h: int
    low_24h: int
    volume_24h: int
    volume_30d: int


class Rolling:
    """Fed with every trade in order of time. A window moves by whole minutes (24 h) and whole hours (30 d)."""

    def __init__(self) -> None:
        self._bars: deque[Bar] = deque()
        self._hours: deque[tuple[int, int]] = deque()
        self._high = self._low = self._volume_24h = self._volume_30d = 0

    def restore(self, bars: list[Bar], hours: list[tuple[int, int]]) -> None:
        """Take over what a ledger knows.

        The minutes of the last day and (hour, volume) of the last 30 days, oldest first.
        """
        self._bars.extend(bars)
        self._hours.extend(hours)
        self._volume_24h = sum(bar.volume for bar in bars)
        self._volume_30d = sum(volume for _, volume in hours)
        self._rescan()

    def add(self, at: int, price: int, size: int) -> Summary:
        """Count a trade and give the figures that include it."""
        minute = at // MINUTE
        if self._bars and self._bars[-1].minute == minute:
            bar = self._bars[-1]
            self._bars[-1] = Bar(minute, bar.open, max(bar.high, price), min(bar.low, price), bar.volume + size)
            self._high, self._low = max(self._high, price), min(self._low, price)
        else:
            self._bars.append(Bar(minute, price, price, price, size))
            while self._bars[0].minute <= minute - _MINUTES_KEPT:
                self._volume_24h -= self._bars.popleft().volume
            self._rescan()
        self._volume_24h += size
        self._count_hour(at // HOUR, size)
        return self.summary()

    def summary(self) -> Summary:
        """The figures at the last trade. Needs one trade at least."""
        return Summary(self._bars[0].open, self._high, self._low, self._volume_24h, self._volume_30d)

    def _count_hour(self, hour: int, size: int) -> None:
        if self._hours and self._hours[-1][0] == hour:
            self._hours[-1] = (hour, self._hours[-1][1] + size)
        else:
            self._hours.append((hour, size))
            while self._hours[0][0] <= hour - _HOURS_KEPT:
                self._volume_30d -= self._hours.popleft()[1]
        self._volume_30d += size

    def _rescan(self) -> None:
        self._high = max((bar.high for bar in self._bars), default=0)
        self._low = min((bar.low for bar in self._bars), default=0)
