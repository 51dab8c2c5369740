"""One receiver, so many messages, at some rate: what it cost and what it stored."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.streamer.exchange import Exchange, Sent
from bench.streamer.receivers import Receiver
from bench.streamer.watched import Watched

#: What is written last may wait this long: a flush interval and a slow disk.
_QUIET_SECONDS = 0.6

_STOP_SECONDS = 20.0


class Result(NamedTuple):
    """One receiver in one round."""

    messages: int
    cpu_us: float
    """CPU time of the receiving process for a message, user and system, in microseconds."""
    peak_rss_bytes: int
    lost: int
    generator: Sent


def run(receiver: Receiver, generator: Path, *, messages: int, rate: float, folder: Path) -> Result:
    """Run a case in a folder of its own below `folder`, which is removed.

    A receiver starts to pay when it is connected: imports are not counted, flushing and syncing to the end are.
    """
    work = Path(tempfile.mkdtemp(dir=folder))
    seconds = 60 + (2 * messages / rate if rate else messages / 5000)
    try:
        with Exchange(generator) as exchange:
            log = work / "log"
            with Watched(receiver.command(exchange.port, work), log, receiver.env(exchange.port, work)) as process:
                exchange.accept(subscribes=receiver.subscribes)
                time.sleep(0.2)  # what a receiver does once, when it is connected
                before = process.cpu_seconds()
                sending = exchange.start(messages, rate, receiver.dialect)
                sent = exchange.finish(sending, seconds)
                process.settle(lambda: receiver.bytes(work), _QUIET_SECONDS, seconds)
                cpu = process.cpu_seconds() - before
                peak = process.peak_rss_bytes()
                process.stop(exchange.hang_up, _STOP_SECONDS)
            lost = receiver.expected(messages) - receiver.stored(work)
        return Result(messages, cpu / messages * 1e6, peak, lost, sent)
    finally:
        shutil.rmtree(work)
