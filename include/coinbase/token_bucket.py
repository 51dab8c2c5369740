"""The exchange's limit on public REST requests, kept from our side."""

import asyncio
from typing import Final

#: 10 requests a second, 15 at once, for one address: Coinbase's documentation of the public endpoints.
PUBLIC_RATE: Final = 10.0
PUBLIC_BURST: Final = 15


class TokenBucket:
    """Spaces requests: `burst` at once, `rate` a second in the long run.

    The limit is per address: all clients of a process share one instance. Used on one event loop only. Whoever asks
    first goes first; who is cancelled while waiting has spent a turn.
    """

    def __init__(self, rate: float = PUBLIC_RATE, burst: int = PUBLIC_BURST) -> None:
        self._interval = 1 / rate
        self._credit = (burst - 1) * self._interval
        self._next_turn = 0.0
        """When the next request could go if there were no bursts, in the loop's time."""

    async def turn(self) -> None:
        """Wait until one more request may be sent."""
        now = asyncio.get_running_loop().time()
        turn = max(self._next_turn, now - self._credit)
        self._next_turn = turn + self._interval
        if turn > now:
            await asyncio.sleep(turn - now)

    def pause(self, seconds: float) -> None:
        """Give nobody else a turn for so long: the exchange asked for it."""
        self._next_turn = max(self._next_turn, asyncio.get_running_loop().time() + seconds)
