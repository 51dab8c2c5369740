"""The limit on requests that processes keep together."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from include.coinbase.shared_bucket import SharedTokenBucket

REPOSITORY = Path(__file__).parents[2]
#: Takes turns and prints when each came, by the clock that all processes share.
TAKER = """
import asyncio, sys, time
from pathlib import Path
from include.coinbase.shared_bucket import SharedTokenBucket

async def take() -> None:
    bucket = SharedTokenBucket(Path(sys.argv[1]), rate=50, burst=2)
    for _ in range(int(sys.argv[2])):
        await bucket.turn()
        print(time.monotonic())

asyncio.run(take())
"""


async def turns(bucket: SharedTokenBucket, count: int) -> list[float]:
    """When so many turns came."""
    times = []
    for _ in range(count):
        await bucket.turn()
        times.append(time.monotonic())
    return times


def test_processes_share_one_rate(tmp_path: Path) -> None:
    """Three processes together get the rate, after one burst, and no more."""
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, str(tmp_path / "turns"), "20"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    times = sorted(float(line) for taker in takers for line in taker.communicate(timeout=60)[0].split())

    assert len(times) == 60
    assert times[-1] - times[0] >= (60 - 2) / 50 - 0.01


async def test_a_burst_comes_at_once_and_then_the_rate(tmp_path: Path) -> None:
    """As of the bucket of one process. No turn comes before its time; how late it comes is the machine's affair."""
    times = await turns(SharedTokenBucket(tmp_path / "turns", rate=4, burst=3), 6)

    assert times[2] - times[0] < 0.25, "without the burst it would be half a second"
    assert all(later - times[2] > 0.25 * turn - 0.01 for turn, later in enumerate(times[2:]) if turn)


async def test_a_pause_holds_back_every_process(tmp_path: Path) -> None:
    """A 429 that one task gets silences all."""
    one, other = (SharedTokenBucket(tmp_path / "turns", rate=100) for _ in range(2))
    one.pause(0.3)
    started = time.monotonic()

    await other.turn()

    assert time.monotonic() - started > 0.29


async def test_a_torn_file_or_one_of_before_a_restart_holds_nobody_up(tmp_path: Path) -> None:
    """What a dead writer or another uptime of the machine left is no reason to wait."""
    path = tmp_path / "turns"
    for left in (b"", b"12.", b"\0\0", b"1e12"):
        path.write_bytes(left)
        async with asyncio.timeout(0.5):
            await SharedTokenBucket(path).turn()
