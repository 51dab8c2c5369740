"""A refetch under fire, beside the schedule; driven by test_backfill.py and `python -m bench.backfill`.

The judge is the simulator's truth, read over HTTP, against the rows of the marts.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.e2e.harness import REPO, RunningStack, eventually, free_ports, processes_of

DAG = "market_pulse_backfill"
STREAMED = ("BTC-USD", "ETH-USD", "XRP-USD")
NEVER_STREAMED = "LTC-USD"
OVER = {"success", "failed"}


def settings(*, trades_a_second: float, history_hours: int, schedule_seconds: int) -> dict[str, str]:
    """A market of four products with a past, of which three are streamed."""
    return {
        "PULSE_SIMULATOR_RATE": str(trades_a_second),
        "PULSE_SIMULATOR_HISTORY_HOURS": str(history_hours),
        "PULSE_SCHEDULE_SECONDS": str(schedule_seconds),
        "PULSE_PRODUCTS": ",".join(STREAMED),
        "PULSE_SIMULATOR_PRODUCTS": ",".join((*STREAMED, NEVER_STREAMED)),
    }


def make_past(home: Path, market: dict[str, str], *, within: float = 600) -> None:
    """Let the fake exchange make its past before the stack starts it, which waits for it a minute only."""
    ports = dict(zip(("PULSE_SIMULATOR_WS_PORT", "PULSE_SIMULATOR_REST_PORT"), map(str, free_ports(2)), strict=True))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    url = f"http://127.0.0.1:{ports['PULSE_SIMULATOR_REST_PORT']}/healthz"

    def answers() -> bool:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            return False
        return True

    with subprocess.Popen(
        [sys.executable, "-m", "simulator"], cwd=REPO, env=inherited | market | ports | {"PULSE_HOME": str(home)}
    ) as process:
        try:
            eventually(answers, within=within, what="the exchange has a past")
        finally:
            process.terminate()


def text(instant: datetime) -> str:
    """As a person writes it."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


class Backfill:
    """One run of the DAG, seen through Airflow's REST API."""

    def __init__(self, stack: RunningStack, **conf: Any) -> None:
        self._stack = stack
        self.started = time.monotonic()
        answer = stack.airflow(f"dags/{DAG}/dagRuns", {"logical_date": None, "conf": conf})
        self.run_id = str(answer["dag_run_id"])

    def state(self) -> str:
        """State of the run."""
        return str(self._stack.airflow(f"dags/{DAG}/dagRuns/{self.run_id}")["state"])

    def tasks(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """Task instances."""
        listed = self._stack.airflow(f"dags/{DAG}/dagRuns/{self.run_id}/taskInstances?limit=200")["task_instances"]
        return [task for task in listed if task_id in (None, task["task_id"])]

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """A value that a task left."""
        path = f"dags/{DAG}/dagRuns/{self.run_id}/taskInstances/{task_id}/xcomEntries/{key}?map_index={map_index}"
        value = self._stack.airflow(path)["value"]
        return json.loads(value) if isinstance(value, str) else value

    def report(self, *, within: float) -> dict[str, Any]:
        """Wait for the end of the run; its report."""
        eventually(lambda: self.state() in OVER, within=within, what=f"the backfill {self.run_id} is over")
        assert self.state() == "success", [(t["task_id"], t["map_index"], t["state"]) for t in self.tasks()]
        report: dict[str, Any] = self.xcom("report_backfill")
        return report | {"run_seconds": round(time.monotonic() - self.started, 1)}


def lanes_of(stack: RunningStack) -> list[dict[str, Any]]:
    """What the lanes of the newest run have noted beside the spool."""
    folders = [path for path in (Path(stack.known["spool_dir"]) / "backfill").iterdir() if path.is_dir()]
    newest = max(folders, key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_bytes()) for path in sorted(newest.glob("lane-*.json"))]


def fetched_pages(stack: RunningStack) -> int:
    """Requests of the newest run so far."""
    try:
        return sum(lane["requests"] for lane in lanes_of(stack))
    except (FileNotFoundError, ValueError):
        return 0


def kill_a_lane(stack: RunningStack, backfill: Backfill, *, supervisor: bool) -> int:
    """kill -9 of the process of a task that fetches, or of that one's supervisor; its pid."""

    title = "airflow worker -- LocalExecutor: {}" if supervisor else "airflow worker -- {}"

    def once() -> int | None:
        running = [task["id"] for task in backfill.tasks("refetch.refetch_trades") if task["state"] == "running"]
        for pid, command in processes_of(stack.home).items():
            if any(title.format(task_id) in command for task_id in running):
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

    return eventually(once, within=150, what="a lane runs, to be killed")


def storm(stack: RunningStack, *statuses: int, probability: float, seconds: float) -> None:
    """For so long REST answers a share of the requests with these."""
    for status in statuses:
        body = {
            "kind": "rest_error",
            "status": status,
            "probability": probability,
            "count": None,
            "duration_seconds": seconds,
        }
        request = urllib.request.Request(
            f"{stack.known['simulator_url']}/control/faults",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


class Freshness:
    """How old the newest trade of the marts was, sampled."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self.samples: list[float] = []

    @contextmanager
    def watched(self, every: float = 5.0) -> Iterator["Freshness"]:
        """Sample meanwhile."""
        over = threading.Event()

        def sample() -> None:
            while not over.wait(every):
                (row,) = self._stack.query(
                    "select max(traded_at) newest from {marts}.fct_trades where traded_date >= current_date() - 1"
                    f" and product_id = '{STREAMED[0]}'"
                )
                if row["newest"]:
                    self.samples.append((datetime.now(UTC) - row["newest"]).total_seconds())

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def figures(self) -> dict[str, float]:
        """In seconds."""
        ordered = sorted(self.samples) or [0.0]
        return {"median": round(ordered[len(ordered) // 2], 1), "max": round(ordered[-1], 1), "samples": len(ordered)}


def differences(stack: RunningStack, product: str, start: datetime, end: datetime) -> list[Any]:
    """Trades of the window that the marts have not as the truth has them, have too often, or have though they never
    were."""
    made = {
        trade["trade_id"]: _trade(trade)
        for trade in stack.truth(product, 1, 10**15)
        if start <= datetime.fromisoformat(trade["time"]) < end
    }
    rows = stack.query(
        "select trade_id, price, size, maker_side, traded_at from {marts}.fct_trades"
        f" where product_id = '{product}' and traded_at >= '{text(start)}' and traded_at < '{text(end)}'"
    )
    found = {row["trade_id"]: (row["price"], row["size"], row["maker_side"], row["traded_at"]) for row in rows}
    problems: list[Any] = [("rows", len(rows), len(found))] if len(rows) != len(found) else []
    problems += [
        (trade_id, made.get(trade_id), found.get(trade_id))
        for trade_id in sorted(made.keys() | found.keys())
        if made.get(trade_id) != found.get(trade_id)
    ]
    assert made, f"the truth has no trade of {product}"
    return problems


def _trade(trade: dict[str, Any]) -> tuple[Any, ...]:
    return (
        Decimal(trade["price"]),
        Decimal(trade["size"]),
        trade["maker_side"],
        datetime.fromisoformat(trade["time"]),
    )


def incomplete_minutes(stack: RunningStack, product: str, start: datetime, end: datetime) -> int:
    """Minutes of the window that are not proven to be whole, the ones without a row included."""
    (row,) = stack.query(
        f"select countif(is_complete) n from {{marts}}.fct_candles_1m where product_id = '{product}'"
        f" and candle_at >= '{text(start)}' and candle_at < '{text(end)}'"
    )
    return int((end - start).total_seconds() // 60) - int(row["n"])


#: Marts whose rows a rebuild must give again to the last bit: what they are ordered by, and the time of a row.
REBUILT = {
    "fct_trades": ("product_id, trade_id", "traded_at"),
    "fct_tickers": ("product_id, trade_id", "traded_at"),
    "fct_candles_1m": ("product_id, candle_at", "candle_at"),
}


def marts_of(stack: RunningStack, start: datetime, end: datetime) -> dict[str, list[dict[str, Any]]]:
    """The rows of a window; the live ones after it change all the time."""
    return {
        mart: stack.query(
            f"select * from {{marts}}.{mart} where {column} >= '{text(start)}' and {column} < '{text(end)}'"
            f" order by {keys}"
        )
        for mart, (keys, column) in REBUILT.items()
    }


def damage(stack: RunningStack, end: datetime) -> None:
    """Make some prices of the marts wrong: a rebuild has to mend them."""
    stack.query(
        "update {marts}.fct_trades set price = price + 1 where mod(trade_id, 5) = 0"
        f" and traded_at < '{text(end)}' and traded_date >= '1970-01-01'"
    )


def refetched_rows(stack: RunningStack, start: datetime, end: datetime, dataset: str = "{marts}") -> list[Any]:
    """Rows that REST brought, without when and by which batch they were loaded."""
    return stack.query(
        f"select * except (batch_id, loaded_at) from {dataset}.fct_trades where source = 'rest'"
        f" and traded_at >= '{text(start)}' and traded_at < '{text(end)}' order by product_id, trade_id"
    )
