"""What an increment of the marts costs on little and on much history: `make bench-marts`.

The fake exchange trades for 30 days. One set of datasets gets all of it, another the last day only. Then both get the
same new windows of some 10,000 records each, in turn, loaded and transformed by the product's own steps. Printed are
the medians of the seconds that the models took by dbt's own account, and their ratio.

The exit status is 1 when an increment on 30 times the history takes more than 1.2 times as long.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from analysis import local_warehouse, past
from analysis.local_warehouse import DbtTimes
from include.config import WarehouseConfig
from include.spool import Spool, State
from include.warehouse.warehouse import Warehouse

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_END = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()) * _SECOND
_WINDOW = 120 * _SECOND
_MODELS = ("--select", "config.materialized:incremental")
_LIMIT = 1.2


class _Marts(NamedTuple):
    """One history and what came of it."""

    days: int
    spool: Spool
    waiting: list[Path]
    """Sealing segments of the new windows, held back, the oldest first."""
    warehouse: Warehouse
    target: Path
    times: list[DbtTimes]


def main() -> int:
    """0, or 1 above the limit."""
    parser = argparse.ArgumentParser(prog="python -m bench.marts", description=__doc__)
    parser.add_argument("--days", type=int, default=30, help="of the long history")
    parser.add_argument("--trades-per-second", type=Decimal, default=Decimal("0.2"), help="in the history")
    parser.add_argument("--windows", type=int, default=6, help="measured, after one that is not")
    parser.add_argument("--folder", type=Path, help="where to work; it is removed afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-marts-", dir=options.folder) as name:
        folder = Path(name)
        with local_warehouse.running(folder / "warehouse") as url:
            both = [_history(folder, url, days, options) for days in (1, options.days)]
            for number in range(options.windows + 1):
                for marts in both[:: -1 if number % 2 else 1]:
                    _new_window(marts, number)
    return _report(both)


def _history(folder: Path, url: str, days: int, options: argparse.Namespace) -> _Marts:
    """The same market to the last trade, received for so many days, then the windows at a much higher rate."""
    began = time.monotonic()
    spool = Spool.open(folder / f"spool-{days}", "live", create=True)
    waiting = folder / f"waiting-{days}"
    waiting.mkdir()
    quiet = past.Past(
        start=_END - options.days * _DAY,
        end=_END,
        trades_per_second=options.trades_per_second,
        beat_seconds=60,
        segment_seconds=21_600,
        received_from=_END - days * _DAY,
    )
    ledger = folder / f"truth-{days}.sqlite3"
    past.record(quiet, ledger, spool)
    warehouse = Warehouse.connect(WarehouseConfig(warehouse_url=url, dataset_prefix=f"bench_{days}"))
    target = folder / f"dbt-{days}"
    build = local_warehouse.run(spool, warehouse, target)
    busy = quiet._replace(
        start=_END,
        end=_END + (options.windows + 1) * _WINDOW,
        trades_per_second=Decimal(41),
        beat_seconds=1,
        segment_seconds=120,
        received_from=0,
    )
    past.record(busy, ledger, spool)
    held_back = [path.rename(waiting / path.name) for path in sorted(spool.folder(State.SEALING).iterdir())]
    trades = warehouse.client.get_table(f"{warehouse.config.datasets().marts}.fct_trades").num_rows
    seconds = time.monotonic() - began
    _print(f"{days:3} days: {trades:,} trades, {build.total:.0f} s of models, {seconds:.0f} s in all")
    return _Marts(days, spool, held_back, warehouse, target, [])


def _new_window(marts: _Marts, number: int) -> None:
    """One run over the next segment. The first one is not counted: with it the last day of the history changes."""
    path = marts.waiting.pop(0)
    path.rename(marts.spool.folder(State.SEALING) / path.name)
    times = local_warehouse.run(marts.spool, marts.warehouse, marts.target, *_MODELS)
    if number:
        marts.times.append(times)


def _report(both: Sequence[_Marts]) -> int:
    short, long = both
    for line in _table(short, long):
        _print(line)
    ratio = _median(long.times) / _median(short.times)
    _print(f"{long.days} times the history: {ratio:.2f} times the time, at most {_LIMIT} is allowed")
    return int(ratio > _LIMIT)


def _table(short: _Marts, long: _Marts) -> Iterator[str]:
    yield f"{'seconds of an increment':26}{short.days:8} day{long.days:8} days   ratio"
    for name in sorted(short.times[0].nodes):
        one, other = (statistics.median(times.nodes[name] for times in marts.times) for marts in (short, long))
        yield f"{name:26}{one:12.2f}{other:13.2f}{other / one:8.2f}"
    one, other = _median(short.times), _median(long.times)
    yield f"{'all models':26}{one:12.2f}{other:13.2f}{other / one:8.2f}"


def _median(times: Sequence[DbtTimes]) -> float:
    return statistics.median(run.total for run in times)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
