"""The disk budget: how much the spool may hold of what is not archived yet. Nothing is ever deleted for it."""

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping
from typing import Final

from include.spool import Spool, State, Usage
from streamer.threads import in_thread

log = logging.getLogger(__name__)

#: What the budget is for. The archive is kept as long as its operator likes.
BUDGETED: Final = tuple(state for state in State if state is not State.ARCHIVED)

MEASURE_SECONDS: Final = 5.0
#: The archive grows without end, and a stat of each file with it: it is measured only every so many times.
ARCHIVE_EVERY: Final = 12

_WARNING, _ROOM_AGAIN = 80, 90


class Level(enum.StrEnum):
    """How full the budget is."""

    OK = "ok"
    WARNING = "warning"
    """From 80 %."""
    FULL = "full"
    """From 100 %, until below 90 %: nothing is captured."""


def level_of(used_bytes: int, max_bytes: int, before: Level) -> Level:
    """The level that follows on `before`."""
    full_percent = _ROOM_AGAIN if before is Level.FULL else 100
    if used_bytes * 100 >= max_bytes * full_percent:
        return Level.FULL
    return Level.WARNING if used_bytes * 100 >= max_bytes * _WARNING else Level.OK


class SpoolBudget:
    """Measures the spool again and again, off the event loop."""

    def __init__(self, spool: Spool, max_bytes: int, on_change: Callable[[Level, int, int], None]) -> None:
        """`on_change` is told every new level, the bytes used and those allowed, on the event loop."""
        self.max_bytes = max_bytes
        self.level = Level.OK
        self.usage: Mapping[State, Usage] = {}
        """What lay in each state when it was last measured."""
        self._spool = spool
        self._on_change = on_change
        self._until_archive = 0

    @property
    def used_bytes(self) -> int:
        """Size of what the budget is for, when it was last measured."""
        return sum(self.usage[state].bytes for state in BUDGETED if state in self.usage)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            await asyncio.sleep(MEASURE_SECONDS)
            await self.measure()

    async def measure(self) -> None:
        """Measure once. A spool that cannot be read leaves everything as it was: the writer says what is wrong."""
        with_archive = self._until_archive == 0
        self._until_archive = (self._until_archive or ARCHIVE_EVERY) - 1
        states = tuple(State) if with_archive else BUDGETED
        try:
            self.usage = {**self.usage, **await in_thread(lambda: self._spool.usage(states), "usage")}
        except OSError as error:
            log.warning("the spool's size cannot be read", extra={"error": str(error)})
            return
        level = level_of(self.used_bytes, self.max_bytes, self.level)
        if level is not self.level:
            self.level = level
            log.log(
                logging.INFO if level is Level.OK else logging.WARNING,
                "the spool's budget has another level",
                extra={"level": level, "bytes": self.used_bytes, "max_bytes": self.max_bytes},
            )
            self._on_change(level, self.used_bytes, self.max_bytes)
