"""Noticing that an open connection has gone silent."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

#: A timer that is late by this share of the limit shows that we stood still (a suspended machine, a blocked loop), with
#: frames waiting in the socket: then silence says nothing about the feed.
_LATE = 0.1


class FeedSilent(Exception):
    """A connection is open, but what must keep coming does not come."""


class Watchdog:
    """Ends a block with FeedSilent when `seen` was not called for `limit_seconds`.

    `seen` only notes the time: a timer looks at it when the limit could have passed, so a frame sets no timer.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._loop = asyncio.get_running_loop()
        self._last_seen = self._loop.time()
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    def seen(self) -> None:
        """Something that proves the feed alive has come."""
        self._last_seen = self._loop.time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While we do not read, silence says nothing about the feed."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False
            self.seen()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the block. Raises FeedSilent."""
        self.seen()
        try:
            async with asyncio.timeout(None) as timeout:
                self._check(timeout, self._last_seen)
                try:
                    yield
                finally:
                    if self._timer is not None:
                        self._timer.cancel()
        except TimeoutError:
            if not timeout.expired():
                raise
            raise FeedSilent(f"nothing that proves the feed alive came for {self._limit:g} s") from None

    def _check(self, timeout: asyncio.Timeout, due: float) -> None:
        now = self._loop.time()
        if self._paused or now > due + self._limit * _LATE:
            self.seen()
        deadline = self._last_seen + self._limit
        if deadline <= now:
            timeout.reschedule(now)
        else:
            self._timer = self._loop.call_at(deadline, self._check, timeout, deadline)
