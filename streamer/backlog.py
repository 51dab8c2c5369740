"""How long what was captured has been waiting for Airflow: unsealed, or sealed and not loaded."""

import contextlib
import time
from typing import Final, NamedTuple

from include.spool import SegmentName, Spool, State

_UNSEALED: Final = (State.ACTIVE, State.SEALING)


class Waiting(NamedTuple):
    """The segment that waits longest in some states. Nothing waits: 0 seconds."""

    seconds: float
    segment: str


class Backlog:
    """Watches the spool's folders. Blocking, for one thread at a time.

    A segment waits since it was first seen here, or since its last record where that is longer ago and nobody writes to
    it any more: a clock that is set, or a streamer that starts anew, does not hide a backlog.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._seen: dict[tuple[bool, SegmentName], float] = {}

    def look(self) -> tuple[Waiting, Waiting]:
        """The longest wait of unsealed and of sealed segments. Raises OSError and SpoolError."""
        now = time.monotonic()
        unsealed = {(False, name): state for state in _UNSEALED for name in self._spool.segments(state)}
        sealed = {(True, name): State.SEALED for name in self._spool.segments(State.SEALED)}
        places = unsealed | sealed
        self._seen = {key: self._seen.get(key, now) for key in places}
        return self._longest(unsealed, now), self._longest(sealed, now)

    def _longest(self, places: dict[tuple[bool, SegmentName], State], now: float) -> Waiting:
        longest = Waiting(0.0, "")
        for key, state in places.items():
            seconds = max(
                now - self._seen[key], 0.0 if state is State.ACTIVE else self._unwritten_seconds(key[1], state)
            )
            if seconds > longest.seconds:
                longest = Waiting(seconds, key[1].file_name)
        return longest

    def _unwritten_seconds(self, name: SegmentName, state: State) -> float:
        with contextlib.suppress(FileNotFoundError):  # it moved on meanwhile
            return max(time.time() - self._spool.path(name, state).stat().st_mtime, 0.0)
        return 0.0
