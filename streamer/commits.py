"""How long lines wait until they are durable: measured at every commit, told once a minute in the spool itself."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

#: Between two records; the marts' latency budget is made of them (docs/marts.md).
REPORT_SECONDS: Final = 60.0

#: More commits than a minute can have at the shortest interval, so that nothing is measured in vain.
_KEPT: Final = 100_000
_MICROSECONDS: Final = 1_000_000
_PERCENTS: Final = (50, 95, 99)


class CommitAges:
    """The age of the oldest line of each commit. `add` is for the disk's thread, `due` for the event loop's."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ages: deque[float] = deque(maxlen=_KEPT)
        self._since = monotonic()

    def add(self, age_seconds: float) -> None:
        """A commit made a line durable that was so old."""
        self._ages.append(age_seconds)

    def due(self) -> dict[str, Any] | None:
        """What a full minute had, as the detail of `pulse_commits`; None before it is over, or without a commit."""
        if self._monotonic() - self._since < REPORT_SECONDS:
            return None
        self._since = self._monotonic()
        ages = sorted(self._ages.popleft() for _ in range(len(self._ages)))
        if not ages:
            return None
        ranks = {f"durable_p{percent}_us": _nearest_rank(ages, percent) for percent in _PERCENTS}
        return {"commits": len(ages), **ranks, "durable_max_us": _microseconds(ages[-1])}


def _nearest_rank(ordered: Sequence[float], percent: int) -> int:
    return _microseconds(ordered[math.ceil(len(ordered) * percent / 100) - 1])


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
