"""From the receipt of a record to its durability, against the disk's own fdatasync."""

import math
import os
import shutil
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bench.streamer.exchange import Exchange
from bench.streamer.receivers import streamer
from bench.streamer.watched import Watched

#: What a commit interval of 100 ms gathers at this rate is about what the probe writes before each of its syncs.
RATE = 1000.0
_PROBE_BYTES = 50_000
_PROBE_COUNT = 100


class Durability(NamedTuple):
    """Milliseconds."""

    p50_ms: float
    p99_ms: float
    sync_p99_ms: float
    """Of fdatasync after a write of the same size, while the streamer did not run."""
    commit_interval_ms: float

    @property
    def bound_ms(self) -> float:
        """What the p99 is held against."""
        return self.commit_interval_ms + 3 * self.sync_p99_ms


def measure(transport: str, generator: Path, *, messages: int, folder: Path) -> Durability:
    """Run the streamer at RATE and compare each record's received_at with the end of the sync that covered it."""
    work = Path(tempfile.mkdtemp(dir=folder))
    try:
        syncs_ms = _probe(work / "probe")
        notes = work / "notes"
        receiver = streamer(transport, notes=notes)
        with Exchange(generator) as exchange:
            env = receiver.env(exchange.port, work)
            with Watched(receiver.command(exchange.port, work), work / "log", env) as process:
                exchange.accept(subscribes=True)
                sending = exchange.start(messages, RATE, receiver.dialect)
                exchange.finish(sending, 60 + 2 * messages / RATE)
                process.settle(lambda: receiver.bytes(work), 0.6, 60)
                process.stop(exchange.hang_up, 20)
        delays = sorted(_delays_ms(work / "spool", notes))
        if len(delays) < messages:
            raise RuntimeError(f"{messages - len(delays)} records were never synced")
        return Durability(_quantile(delays, 0.5), _quantile(delays, 0.99), _quantile(sorted(syncs_ms), 0.99), 100)
    finally:
        shutil.rmtree(work)


def _probe(path: Path) -> list[float]:
    """Durations of fdatasync after a write, at the pace of the commits."""
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_PROBE_COUNT):
            file.write(b"x" * _PROBE_BYTES)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)
    return took


def _delays_ms(spool: Path, notes: Path) -> list[float]:
    syncs: dict[int, list[tuple[int, int]]] = {}
    for note in notes.read_text().splitlines():
        inode, size, ended_ns, _ = map(int, note.split())
        syncs.setdefault(inode, []).append((size, ended_ns))
    delays = []
    for segment in spool.rglob("*.ndjson"):
        covers = iter(syncs.get(segment.stat().st_ino, ()))
        size, ended_ns, end = 0, 0, 0
        with segment.open("rb") as file:
            for line in file:
                end += len(line)
                while size < end:
                    size, ended_ns = next(covers, (math.inf, 0))  # type: ignore[assignment]
                if ended_ns:
                    received_at = datetime.fromisoformat(line[16:43].decode())
                    delays.append(ended_ns / 1e6 - received_at.timestamp() * 1000)
    return delays


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
