"""`make bench-backlog`: what a long outage leaves behind, drained by the scheduled runs alone.

A stack of its own runs as it always does, once a minute. Then millions of records of the last hours lie in the spool at
once, as after a weekend without Airflow, and nobody does anything: it is only watched until everything is loaded,
transformed and archived. Printed are the seconds, what each run took, and the memory of each part at its peak, against
the peak before. Fails when the warehouse holds anything but what was written, each record and each trade once.
"""

import argparse
import contextlib
import logging
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.market import PRODUCTS, Market
from include.config import PipelineConfig, load
from include.spool import Spool, State
from tests.e2e.harness import RunningStack, eventually, processes_of, running

_SCHEDULE_SECONDS = 60
_HOUR = 3600
_MIB = 1 << 20
_PART = b"SUPERVISOR_PROCESS_NAME="
_QUIET_SECONDS = 90
#: After it: the next runs take what was received meanwhile.
_GREEN_SECONDS = 600
_ON_THE_WAY = (State.SEALING, State.SEALED, State.LOADED)

log = logging.getLogger("bench.backlog")


class Memory:
    """The memory of each part of a stack, looked at every second: a share of what processes share counts for each."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._over = threading.Event()
        self.peaks: dict[str, int] = defaultdict(int)
        """Bytes, by part."""
        self.largest_task = 0
        """Of the largest process that Airflow started for a task, whatever it shares counted in full."""

    @contextlib.contextmanager
    def watched(self) -> Iterator["Memory"]:
        """Look until the block ends."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield self
        finally:
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            now: dict[str, int] = defaultdict(int)
            for pid, command in processes_of(self._home).items():
                with contextlib.suppress(OSError, ValueError):  # it has ended meanwhile
                    shared, resident = _memory(pid)
                    now[_part(pid)] += shared
                    if command.startswith("airflow worker -- ") or "dbt" in command:
                        self.largest_task = max(self.largest_task, resident)
            for part, size in now.items():
                self.peaks[part] = max(self.peaks[part], size)


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of a process: its share, and all that is resident."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return sizes["Pss"] * 1024, sizes["Rss"] * 1024


def _part(pid: int) -> str:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((v.removeprefix(_PART).decode() for v in variables if v.startswith(_PART)), "stack")


def main() -> int:
    """0 when everything is where it belongs, once."""
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description=__doc__)
    parser.add_argument("--records", type=int, default=5_000_000, help="that wait (5,000,000 are 2.3 GB)")
    parser.add_argument("--hours", type=int, default=12, help="of the past that they are of")
    parser.add_argument("--segment-records", type=int, default=140_000, help="in a segment (140,000 are about 64 MB)")
    parser.add_argument("--limit", type=int, default=3600, metavar="SECONDS", help="give up after this time")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    settings = {"PULSE_SCHEDULE_SECONDS": str(_SCHEDULE_SECONDS)}
    with tempfile.TemporaryDirectory(prefix="pulse-bench-backlog-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        with contextlib.contextmanager(running)(home, "SOURCE=simulated", **settings) as stack:
            return _drain(stack, options)


def _drain(stack: RunningStack, options: argparse.Namespace) -> int:
    eventually(lambda: any(run["state"] == "success" for run in stack.runs()), within=600, what="a run is green")
    environment = stack.environment | {"PULSE_SPOOL_DIR": stack.known["spool_dir"]}
    config = load(PipelineConfig, environment)
    spool = Spool.open(config.resolved_spool_dir(), "simulated", create=False)
    with Memory(stack.home).watched() as usual:
        time.sleep(_QUIET_SECONDS)
    market = Market(spool)
    size = market.write(options.records, span_seconds=options.hours * _HOUR, segment_records=options.segment_records)
    waiting = sorted(path.name for path in spool.folder(State.SEALING).glob("bench-1.*"))
    log.info("%s records, %.0f MB, %d segments wait", f"{options.records:,}", size / 1e6, len(waiting))
    began = time.time()
    with Memory(stack.home).watched() as busy:
        _wait_until_archived(spool, stack, options)
    drained = time.time()
    eventually(lambda: _is_green(stack, drained), within=_GREEN_SECONDS, what="a run that began later is green")
    seconds = drained - began
    faults = _faults(stack, options.records, market.trades)
    _report_runs(stack, began)
    _report_memory(usual, busy)
    _say(f"{options.records:,} records drained in {seconds:.0f} s, {options.records / seconds:,.0f} a second")
    for fault in faults:
        _say(f"WRONG: {fault}")
    return bool(faults)


def _is_green(stack: RunningStack, since: float) -> bool:
    return any(run["state"] == "success" and _instant(run["start_date"]) >= since for run in stack.runs())


def _wait_until_archived(spool: Spool, stack: RunningStack, options: argparse.Namespace) -> None:
    told = time.monotonic()

    def drained() -> bool:
        nonlocal told
        left = {state: len(list(spool.folder(state).glob("bench-1.*.ndjson"))) for state in _ON_THE_WAY}
        if time.monotonic() - told > 30:
            told = time.monotonic()
            log.info("segments: %s", ", ".join(f"{number} {state.value}" for state, number in left.items()))
        return not any(left.values()) and not stack.unfinished_runs()

    eventually(drained, within=options.limit, what="every segment of the backlog is archived")


def _faults(stack: RunningStack, records: int, trades: int) -> list[str]:
    """What is not as it was written: by the numbers that were made up, not by what the pipeline says of itself."""
    raw = stack.query(
        "SELECT COUNT(*) AS found, COUNT(DISTINCT record_no) AS numbers, MAX(record_no) AS last"
        " FROM {raw}.messages WHERE received_at >= '2000-01-01' AND streamer_id = 'bench-1'"
    )[0]
    faults = []
    if raw != {"found": records, "numbers": records, "last": records}:
        faults.append(f"{records:,} records were written, raw.messages has {raw}")
    found = stack.query(
        "SELECT product_id, COUNT(*) AS found, COUNT(DISTINCT trade_id) AS ids,"
        " MAX(trade_id) - MIN(trade_id) + 1 AS span"
        " FROM {marts}.fct_trades WHERE traded_date >= '2000-01-01' GROUP BY product_id"
    )
    of_backlog = [row for row in found if row["product_id"] in PRODUCTS]
    if sum(row["found"] for row in of_backlog) != trades:
        faults.append(f"{trades:,} trades were written, fct_trades has {of_backlog}")
    faults += [f"not each once: {row}" for row in of_backlog if not row["found"] == row["ids"] == row["span"]]
    return faults


def _report_runs(stack: RunningStack, began: float) -> None:
    for run in reversed(stack.runs()):
        if run["end_date"] and _instant(run["end_date"]) > began:
            took = _instant(run["end_date"]) - _instant(run["start_date"])
            _say(f"  run {run['state']:8} {took:6.0f} s  {_tasks(stack, run['dag_run_id'])}")


def _report_memory(usual: Memory, busy: Memory) -> None:
    _say(f"{'peak memory, MiB':32}{'usual':>10}{'backlog':>10}")
    for part in sorted(busy.peaks):
        _say(f"  {part:30}{usual.peaks[part] / _MIB:10.0f}{busy.peaks[part] / _MIB:10.0f}")
    _say(f"  {'largest process of a task':30}{usual.largest_task / _MIB:10.0f}{busy.largest_task / _MIB:10.0f}")


def _tasks(stack: RunningStack, run_id: str) -> str:
    """Those that took long, in seconds, and those that failed."""
    listed: list[dict[str, Any]] = stack.airflow(f"dags/market_pulse/dagRuns/{run_id}/taskInstances?limit=200")[
        "task_instances"
    ]
    listed = sorted((task for task in listed if task["start_date"]), key=lambda task: task["start_date"])
    long = [task for task in listed if (task["duration"] or 0) >= 5 and not _only_shown(task["task_id"])]
    failed = [task["task_id"] for task in listed if task["state"] == "failed"]
    texts = [f"{task['task_id']} {task['duration']:.0f}" for task in long]
    return ", ".join(texts) + (f"; FAILED: {', '.join(failed)}" if failed else "")


def _only_shown(task_id: str) -> bool:
    """Tasks of models wait for what dbt_build does."""
    return task_id.startswith("dbt.") and task_id != "dbt.dbt_build"


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
