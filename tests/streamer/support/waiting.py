"""Waiting for conditions, never for time."""

import asyncio
from collections.abc import Callable

DEADLINE_SECONDS = 20.0


async def eventually[T](condition: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
    """Wait until a condition holds and return what it returned; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not (result := condition()):
            await asyncio.sleep(0.005)
        return result


async def elapsed(seconds: float) -> None:
    """Wait until the loop's clock has advanced: for tests in which the passing of time is the condition."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    await eventually(lambda: loop.time() >= end)
