"""What was done to the parts: kills and faults by name. For several threads."""

import threading
from collections import Counter


class Tally:
    """Counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kills: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[tuple[str, str]] = Counter()

    def kill(self, part: str, where: str) -> None:
        """A process died by kill -9."""
        with self._lock:
            self._kills[part, where] += 1

    def fault(self, part: str, what: str, times: int = 1) -> None:
        """Something else went wrong."""
        with self._lock:
            self._faults[part, what] += times

    @property
    def kills(self) -> dict[tuple[str, str], int]:
        """By part and point."""
        with self._lock:
            return dict(self._kills)

    @property
    def faults(self) -> dict[tuple[str, str], int]:
        """By part and kind."""
        with self._lock:
            return dict(self._faults)

    @property
    def killed(self) -> int:
        """All kills."""
        return sum(self.kills.values())
