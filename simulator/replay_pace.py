"""When the next frame of a replay is due."""

import asyncio


class Pace:
    """Recorded time against the loop's time, from an anchor that is set anew after every pause."""

    def __init__(self, speed: float | None) -> None:
        """`speed` None: everything is due at once."""
        self._speed = speed
        self._anchor: tuple[float, float] | None = None

    async def wait(self, at: float | None) -> None:
        """Wait until the frame recorded at this time is due. Frames without a time are due at once."""
        if self._speed is None or at is None:
            return
        now = asyncio.get_running_loop().time()
        if self._anchor is None:
            self._anchor = (now, at)
        started, first = self._anchor
        await asyncio.sleep(max(0.0, started + (at - first) / self._speed - now))

    def pause(self) -> None:
        """Time stands still until the next wait."""
        self._anchor = None
