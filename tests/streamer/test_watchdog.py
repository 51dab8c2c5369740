"""Silence, and what only looks like it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streamer.watchdog import FeedSilent, Watchdog
from tests.streamer.support.waiting import elapsed

LIMIT = 0.1


def block_the_loop(seconds: float) -> None:
    """Do what a suspended machine does: let time pass while no callback runs."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        pass


async def for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.get_running_loop().create_future()


async def seconds_until_silent(watchdog: Watchdog, before: Callable[[], Awaitable[None]]) -> float:
    """Run a scenario under the watchdog, then be silent; how long the silence was borne."""
    loop = asyncio.get_running_loop()
    silent_from: list[float] = []

    async def watched() -> None:
        async with watchdog.watching():
            await before()
            silent_from.append(loop.time())
            await for_ever()

    with pytest.raises(FeedSilent):
        await watched()
    assert silent_from, "the scenario itself was taken for silence"
    return loop.time() - silent_from[0]


async def test_silence_ends_the_block_after_the_limit() -> None:
    """Not before."""
    assert await seconds_until_silent(Watchdog(LIMIT), lambda: elapsed(0)) >= LIMIT * 0.9


async def test_the_limit_counts_from_the_last_sign_of_life() -> None:
    """Each sign buys the whole limit."""
    watchdog = Watchdog(LIMIT)

    async def show_life() -> None:
        for _ in range(10):
            await elapsed(LIMIT / 4)
            watchdog.seen()

    assert await seconds_until_silent(watchdog, show_life) >= LIMIT * 0.9


async def test_silence_while_we_do_not_read_is_ours() -> None:
    """A pause is not counted, and the whole limit is given after it."""
    watchdog = Watchdog(LIMIT)

    async def pause() -> None:
        with watchdog.paused():
            await elapsed(3 * LIMIT)

    assert await seconds_until_silent(watchdog, pause) >= LIMIT * 0.9


async def test_standing_still_ourselves_is_not_silence() -> None:
    """After a stall of the loop, frames that wait in the socket get their chance first."""

    async def stall() -> None:
        block_the_loop(3 * LIMIT)

    assert await seconds_until_silent(Watchdog(LIMIT), stall) >= LIMIT * 0.9


async def test_other_timeouts_and_errors_pass_through() -> None:
    """Only the watchdog's own limit is called silence."""
    with pytest.raises(TimeoutError):
        async with Watchdog(60).watching(), asyncio.timeout(0.01):
            await for_ever()
    with pytest.raises(ConnectionResetError):
        async with Watchdog(60).watching():
            raise ConnectionResetError
