"""Lines in the task's log while something takes long."""

import logging
import time
from collections.abc import Iterable, Iterator

EVERY_SECONDS = 10.0

log = logging.getLogger(__name__)


class Progress:
    """Says what is going on, at most every EVERY_SECONDS. Quick work says nothing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._started = self._said = time.monotonic()
        self._rows = 0

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces; their lines are counted."""
        for piece in pieces:
            self._rows += piece.count(b"\n")
            yield piece

    def sent(self, size: int) -> None:
        """The other side has `size` bytes."""
        if self._is_due():
            rate = self._rows / max(self.seconds, 1e-6)
            log.info(
                "%s: %.1f MB, %d rows, %.0f rows/s, %.0f s", self._what, size / 1e6, self._rows, rate, self.seconds
            )

    def waiting(self, state: str) -> None:
        """Nothing to count."""
        if self._is_due():
            log.info("%s: %s, %.0f s", self._what, state, self.seconds)

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._said < EVERY_SECONDS:
            return False
        self._said = now
        return True
