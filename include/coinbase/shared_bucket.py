"""The exchange's limit on REST requests, kept by all processes of this machine together."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from include.coinbase.token_bucket import PUBLIC_RATE

#: At once, of the exchange's 15: the streamer's own requests are not counted here.
SHARED_BURST: Final = 5

#: A turn further away than this comes from before a restart of the machine, whose clock begins anew.
_FURTHEST_SECONDS: Final = 600.0


class SharedTokenBucket:
    """As `TokenBucket`, for every process that names the same file. The kernel's monotonic clock is the same for all.

    The file holds one number, the time of the next turn, and is locked for the microseconds in which it is changed; so
    a process that is killed holds nobody up. What it holds need not survive the machine.
    """

    def __init__(
        self,
        path: Path,
        rate: float = PUBLIC_RATE,
        burst: int = SHARED_BURST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path` is created where it is missing, its folder is not."""
        self._path = path
        self._interval = 1 / rate
        self._credit = (burst - 1) * self._interval
        self._monotonic = monotonic

    async def turn(self) -> None:
        """Wait until one more request may be sent."""
        wait = self._take()
        if wait > 0:
            await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Give nobody a turn for so long: the exchange asked for it."""
        self._change(lambda next_turn, now: max(next_turn, now + seconds))

    def _take(self) -> float:
        """Reserve a turn; seconds until it comes."""
        turn = self._change(lambda next_turn, now: max(next_turn, now - self._credit) + self._interval)
        return turn - self._interval - self._monotonic()

    def _change(self, step: Callable[[float, float], float]) -> float:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            now = self._monotonic()
            next_turn = _decode(os.pread(fd, 64, 0))
            if next_turn > now + _FURTHEST_SECONDS:
                next_turn = now
            next_turn = step(next_turn, now)
            text = msgspec.json.encode(next_turn)
            os.pwrite(fd, text, 0)
            os.ftruncate(fd, len(text))
            return next_turn
        finally:
            os.close(fd)


def _decode(text: bytes) -> float:
    """An empty or torn number is none: whoever wrote it died in between."""
    try:
        return msgspec.json.decode(text, type=float)
    except msgspec.DecodeError:
        return 0.0
