"""`make bench-streamer`: see bench/README.md."""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.streamer import cases, durability, receivers, rows, soak
from bench.streamer.receivers import Receiver
from bench.streamer.tools import NoCompiler, build

_MIB = 1 << 20


class Load(NamedTuple):
    """Messages, and how fast they are sent (a second; 0: as fast as they are taken)."""

    name: str
    messages: int
    rate: float


FULL = (Load("bulk", 100_000, 0), Load("10,000/s", 20_000, 10_000), Load("1,000/s", 6_000, 1_000))
QUICK = (Load("bulk", 50_000, 0), Load("1,000/s", 2_000, 1_000))


def main() -> int:
    """Run what was asked for; the exit status: 1 when something was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.streamer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only the memory over so many minutes")
    parser.add_argument("--transport", default="picows", help="of the soak")
    parser.add_argument(
        "--folder",
        type=Path,
        default=receivers.REPOSITORY / ".pulse",
        help="a folder on the disk to measure (the system's temporary one may be memory); default: .pulse",
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-streamer-", dir=options.folder) as name:
        folder = Path(name)
        try:
            generator, floor = build("generator", folder), build("receiver", folder)
        except NoCompiler as error:
            _show(f"bench-streamer: {error}")
            return 2
        _show(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {name}")
        if options.soak:
            _show(f"soak: {soak.RATE:,.0f} messages/s, {options.transport}")
            return 0 if soak.run(options.transport, generator, minutes=options.soak, folder=folder, show=_show) else 1
        lost = _compare(generator, floor, folder, quick=options.quick)
        _durability(generator, folder, quick=options.quick)
        _rows(generator, folder, quick=options.quick)
        _show(f"load {os.getloadavg()[0]:.1f} after")
        return 1 if lost else 0


def _compare(generator: Path, floor: Path, folder: Path, *, quick: bool) -> int:
    ours = [receivers.streamer("picows"), receivers.streamer("websockets")]
    alone = [receivers.discard("picows"), receivers.discard("websockets")]
    all_ = [receivers.c_receiver(floor), *ours, *alone, receivers.cryptofeed(), receivers.plain_loop()]
    return sum(_load(load, all_, generator, folder, rounds=2 if quick else 3) for load in (QUICK if quick else FULL))


def _load(load: Load, candidates: Sequence[Receiver], generator: Path, folder: Path, *, rounds: int) -> int:
    """Run alternating rounds of one load and show them; messages lost."""
    results: dict[str, list[cases.Result]] = {receiver.name: [] for receiver in candidates}
    for _ in range(rounds):
        for receiver in candidates:
            result = cases.run(receiver, generator, messages=load.messages, rate=load.rate, folder=folder)
            results[receiver.name].append(result)
    _show(f"\n{load.name}: {load.messages:,} messages, {rounds} alternating rounds")
    _show(
        f"  {'receiver':24}{'CPU µs':>9}{'× C':>8}{'cryptofeed ÷':>14}{'peak MiB':>10}{'lost':>6}{'generator idle':>16}"
    )
    floor, peer = candidates[0].name, receivers.cryptofeed().name
    for name, runs in results.items():
        _show(
            f"  {name:24}{_median(runs):9.2f}{_ratio(runs, results[floor]):8.2f}{_ratio(results[peer], runs):14.2f}"
            f"{max(run.peak_rss_bytes for run in runs) / _MIB:10.0f}{sum(run.lost for run in runs):6}"
            f"{min(run.generator.idle for run in runs):15.0%}"
        )
    if load.rate:
        late = max(run.generator.late_seconds for runs in results.values() for run in runs)
        _show(f"  the generator was at most {late * 1000:.1f} ms late")
    return sum(abs(run.lost) for runs in results.values() for run in runs)


def _median(runs: Sequence[cases.Result]) -> float:
    return statistics.median(run.cpu_us for run in runs)


def _ratio(runs: Sequence[cases.Result], others: Sequence[cases.Result]) -> float:
    """Median of the ratios of the rounds: what else the machine does in a round weighs on both."""
    return statistics.median(run.cpu_us / max(other.cpu_us, 0.01) for run, other in zip(runs, others, strict=True))


def _durability(generator: Path, folder: Path, *, quick: bool) -> None:
    _show(f"\nreceived to durable, {durability.RATE:,.0f}/s")
    for transport in ("picows",) if quick else ("picows", "websockets"):
        found = durability.measure(transport, generator, messages=2_000 if quick else 10_000, folder=folder)
        _show(
            f"  {transport:12} p50 {found.p50_ms:.0f} ms, p99 {found.p99_ms:.0f} ms; bound {found.bound_ms:.0f} ms ="
            f" {found.commit_interval_ms:.0f} + 3 × fdatasync p99 of {found.sync_p99_ms:.1f} ms"
        )


def _rows(generator: Path, folder: Path, *, quick: bool) -> None:
    _show("\none POST and one row a message (FastAPI, SQLite)")
    for rate in (20, 100) if quick else (20, 40, 100):
        stored = rows.measure(generator, rate=rate, seconds=4 if quick else 10, folder=folder)
        _show(f"  {rate:4}/s   stored {stored.share:4.0%}   {stored.cpu_us / 1000:.1f} ms CPU a row")


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    started = time.monotonic()
    status = main()
    _show(f"{time.monotonic() - started:.0f} s")
    sys.exit(status)
