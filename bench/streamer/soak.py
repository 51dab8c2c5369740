"""Whether memory stays flat: the streamer at a steady rate for many minutes."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.streamer.exchange import Exchange
from bench.streamer.receivers import streamer
from bench.streamer.watched import Watched

RATE = 2000.0
_MIB = 1 << 20


def run(transport: str, generator: Path, *, minutes: float, folder: Path, show: Callable[[str], object]) -> bool:
    """Run for so long and show the resident memory every minute, then its slope and the lost messages; whether none."""
    work, receiver = Path(tempfile.mkdtemp(dir=folder)), streamer(transport)
    messages = int(minutes * 60 * RATE)
    samples: list[tuple[float, float]] = []
    try:
        with Exchange(generator) as exchange:
            env = receiver.env(exchange.port, work)
            with Watched(receiver.command(exchange.port, work), work / "log", env) as process:
                exchange.accept(subscribes=True)
                sending = exchange.start(messages, RATE, receiver.dialect)
                started, before = time.monotonic(), process.cpu_seconds()
                while sending.poll() is None:
                    time.sleep(min(60.0, max(1.0, minutes * 60 / 10)))
                    process.check()
                    minute = (time.monotonic() - started) / 60
                    samples.append((minute, process.rss_bytes() / _MIB))
                    show(f"  minute {minute:5.1f}   {samples[-1][1]:6.1f} MiB")
                sent = exchange.finish(sending, 60)
                process.settle(lambda: receiver.bytes(work), 0.6, 60)
                cpu_us = (process.cpu_seconds() - before) / messages * 1e6
                process.stop(exchange.hang_up, 20)
        lost = receiver.expected(messages) - receiver.stored(work)
        show(
            f"  {messages:,} messages, {cpu_us:.1f} µs each, {lost} lost; memory grows by {_slope(samples):+.3f} MiB a"
            f" minute (without the first tenth); the generator was at most {sent.late_seconds * 1000:.0f} ms late"
        )
        return lost == 0
    finally:
        shutil.rmtree(work)


def _slope(samples: list[tuple[float, float]]) -> float:
    """Least squares of memory over time; the start, while buffers grow to their size, is left out."""
    samples = samples[len(samples) // 10 :]
    count = len(samples)
    if count < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / sum((x - mean_x) ** 2 for x, _ in samples)
