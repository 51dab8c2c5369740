"""How fast segments are sealed: `make bench-sealing`.

A backlog of made-up trades, tickers and heartbeats is sealed again and again, alternately by each candidate:

- hash: SHA-256 and count of line feeds, nothing else; what any sealer has to do
- one: the step `seal_segments` in one process, contracts included
- all: the step in several processes

Printed are the lines a second of the best round, the ratio to `hash`, and the least CPU time, which is what to compare
on a machine that does other things too. The files are in the page cache.
"""

import argparse
import functools
import hashlib
import itertools
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from include.config import PipelineConfig
from include.pipeline.sealing import seal_segments
from include.spool import RecordEncoder, SegmentName, Session, Spool, State

_SESSION = Session("streamer-1", "20260707T225816Z-3f9a2c41")
_CHUNK_BYTES = 1024 * 1024

# As on the three channels of a streamer: a ticker for every trade, and a heartbeat now and then.
_MATCH = (
    b'{"type":"match","trade_id":%d,"maker_order_id":"6b380eba-fd1d-43a8-91a0-fdb06e6ce87f",'
    b'"taker_order_id":"b3639a38-ae66-493c-96ba-d2319e503590","side":"buy","size":"0.16908161","price":"1774.92",'
    b'"product_id":"ETH-USD","sequence":%d,"time":"2026-07-07T22:58:%02d.%06dZ"}'
)
_TICKER = (
    b'{"type":"ticker","trade_id":%d,"sequence":%d,"time":"2026-07-07T22:58:%02d.%06dZ","product_id":"ETH-USD",'
    b'"price":"1774.92","open_24h":"1774.92","volume_24h":"123456.78901234","low_24h":"1700.01",'
    b'"high_24h":"1800.02","volume_30d":"3012345.12345678","best_bid":"1774.91","best_bid_size":"0.12345678",'
    b'"best_ask":"1774.93","best_ask_size":"1.23456789","side":"sell","last_size":"0.16908161"}'
)
_HEARTBEAT = (
    b'{"type":"heartbeat","last_trade_id":%d,"sequence":%d,"time":"2026-07-07T22:58:%02d.%06dZ","product_id":"ETH-USD"}'
)
_CYCLE = (_HEARTBEAT, *(_MATCH, _TICKER) * 5)


def _frames() -> Iterator[bytes]:
    for number, template in enumerate(itertools.cycle(_CYCLE), start=1):
        yield template % (825_468_236 + number, 100_329_275_918 + 7 * number, number // 1000 % 60, number % 1_000_000)


def _write_backlog(folder: Path, segments: int, lines: int) -> None:
    """Segments of one session, as a streamer at 1,000 messages a second leaves them."""
    clock = itertools.count(1_783_465_096_000_000_000, 1_000_000)
    encoder = RecordEncoder(_SESSION, lambda: next(clock))
    frames = _frames()
    for number in range(1, segments + 1):
        name = SegmentName(_SESSION.streamer_id, _SESSION.session_id, number)
        with (folder / name.file_name).open("wb") as file:
            file.writelines(encoder.frame(frame, 1).line for frame in itertools.islice(frames, lines))


def _hash(backlog: Path) -> None:
    for path in sorted(backlog.iterdir()):
        digest = hashlib.sha256()
        lines = 0
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                lines += chunk.count(b"\n")


def _seal(spool: Spool, lines: int, processes: int) -> Callable[[], None]:
    def run() -> None:
        outcome = seal_segments(spool, PipelineConfig(seal_processes=processes))
        if (outcome["records"], outcome["drift"]) != (lines, {}):
            raise SystemExit(f"not what was written: {outcome}")

    return run


def _fresh_spool(folder: Path, backlog: Path) -> Spool:
    shutil.rmtree(folder, ignore_errors=True)
    spool = Spool.open(folder, "simulated", create=True)
    for path in backlog.iterdir():
        shutil.copy(path, spool.folder(State.SEALING))
    os.sync()  # so that no candidate waits for the copying
    return spool


class _Cost(NamedTuple):
    """Of one run, in seconds."""

    wall: float
    cpu: float


def _cost(run: Callable[[], None]) -> _Cost:
    wall, cpu = time.perf_counter(), _cpu_seconds()
    run()
    return _Cost(time.perf_counter() - wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    """Of this process and the sealer processes that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _megabytes(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Lines sealed a second, against hashing alone.")
    parser.add_argument("--segments", type=int, default=6)
    parser.add_argument("--lines", type=int, default=130_000, help="in each segment; 130,000 are about 60 MB")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    total = options.segments * options.lines
    costs: dict[str, list[_Cost]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-sealing-") as folder:
        backlog = Path(folder) / "backlog"
        backlog.mkdir()
        _write_backlog(backlog, options.segments, options.lines)
        for _ in range(options.rounds):
            for name, processes in (("hash", 0), ("one", 1), ("all", options.processes)):
                spool = _fresh_spool(Path(folder) / "spool", backlog)
                run = _seal(spool, total, processes) if processes else functools.partial(_hash, backlog)
                costs[name].append(_cost(run))
    hashing = min(cost.wall for cost in costs["hash"])
    for name, of_name in costs.items():
        wall, cpu = min(cost.wall for cost in of_name), min(cost.cpu for cost in of_name)
        _print(
            f"{name:5} {total / wall:12,.0f} lines/s {hashing / wall:6.2f} x hash {cpu / total * 1e6:6.2f} µs CPU/line"
        )
    _print(f"{total:,} lines in {options.segments} segments; {options.processes} processes in `all`")
    _print(f"at most {_megabytes(resource.RUSAGE_SELF):.0f} MB in this process, ", end="")
    _print(f"{_megabytes(resource.RUSAGE_CHILDREN):.0f} MB in a sealer process")


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)


if __name__ == "__main__":
    main()
