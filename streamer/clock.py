"""The session's clock: the wall clock's time at the monotonic clock's pace."""

import time
from collections.abc import Callable
from typing import Final

#: Less than this is no step but drift; it adds up until it is one.
STEP_NS: Final = 50_000_000

#: Both clocks are read within this time, or the comparison says nothing: the process was interrupted between them.
_ALIKE_NS: Final = 1_000_000
_TRIES: Final = 5


class SessionClock:
    """Never goes back, and never stands still while time passes.

    When the wall clock is set forward, this one follows at once; when it is set back, this one advances at half speed
    until the wall clock has caught up. Either is noticed by check() only.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        # From the monotonic clock to the wall clock; and until when, by the monotonic clock, we run at half speed.
        self._offset = wall_ns() - monotonic_ns()
        self._slow_until = 0
        self.steps = 0
        """How often the wall clock was set."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        now = self._monotonic_ns()
        if now < self._slow_until:
            # What we are ahead of the wall clock is half of what is left of the slow time.
            return now + self._offset + (self._slow_until - now) // 2
        return now + self._offset

    def check(self) -> int:
        """By how many nanoseconds the wall clock was set since the last call; to be called about once a second."""
        for _ in range(_TRIES):
            before = self._monotonic_ns()
            wall = self._wall_ns()
            now = self._monotonic_ns()
            if now - before <= _ALIKE_NS:
                return self._compare(wall, now)
        return 0

    def _compare(self, wall: int, now: int) -> int:
        step = wall - now - self._offset
        if abs(step) <= STEP_NS:
            return 0
        ahead = max(self._slow_until - now, 0) // 2 - step
        self._offset += step
        self._slow_until = now + 2 * ahead if ahead > 0 else 0
        self.steps += 1
        return step
