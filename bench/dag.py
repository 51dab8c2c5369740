"""What a run of market_pulse costs beside plain dbt: `make bench-dag`.

Starts a stack of its own and then, round by round: puts new records into its spool and lets a run take them; puts as
many again, loads them by the same steps without Airflow, and builds their window with `dbt build` on the command line.
So both meet rows that are in no mart yet. Which of the two is first changes from round to round. Printed are seconds,
the ratio of each round, the tasks of the median run, and how long the DAG file takes to parse in a new process.

CPU seconds are those of all processes of the stack, warehouse included, and of dbt: on a machine that does other things
too they say more than the clock, which waits for others.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from socket import socket
from typing import Any, NamedTuple

from bench.market import Market
from include import pipeline
from include.config import PipelineConfig, WarehouseConfig, load
from include.spool import Spool
from include.warehouse import Warehouse
from include.warehouse.dbt_environment import dbt_environment
from stack import credentials, web
from stack.installation import REPOSITORY, Installation

_DAG = "market_pulse"
_PART = b"SUPERVISOR_PROCESS_NAME="
_GOAL_SECONDS = 45
_GOAL_RATIO = 1.3
_GOAL_PARSE = 1.5
_RUN_SECONDS = 600
_ANSWER_SECONDS = 60
_PORTS = ("WAREHOUSE", "WAREHOUSE_GRPC", "SIMULATOR_WS", "SIMULATOR_REST", "STREAMER", "AIRFLOW")


class Task(NamedTuple):
    """Of a run, in seconds; `started` counts from the run's start."""

    name: str
    started: float
    seconds: float


class Cost(NamedTuple):
    """In seconds. CPU by part of the stack; `dbt` is dbt on the command line."""

    wall: float
    by_part: dict[str, float]

    @property
    def cpu(self) -> float:
        """Of all parts."""
        return sum(self.by_part.values())


class Run(NamedTuple):
    """One run of the DAG."""

    cost: Cost
    records: int
    tasks: list[Task]


class Bench:
    """A stack in a home of its own."""

    def __init__(self, home: Path) -> None:
        self._installation = Installation(home)
        ports = {f"PULSE_{name}_PORT": str(port) for name, port in zip(_PORTS, _free_ports(len(_PORTS)), strict=True)}
        own = {"PULSE_HOME": str(home), "PULSE_SCHEDULE_SECONDS": "86400", "PULSE_SIMULATOR_RATE": "1"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "AIRFLOW_"))}
        self.environment = inherited | ports | own
        self._token = ""
        self._url = f"http://127.0.0.1:{ports['PULSE_AIRFLOW_PORT']}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The stack is up."""
        command = [sys.executable, "-m", "stack"]
        subprocess.run([*command, "up", "--source", "simulated"], env=self.environment, cwd=REPOSITORY, check=True)
        try:
            exports = subprocess.check_output([*command, "settings"], env=self.environment, cwd=REPOSITORY, text=True)
            settings = (line.removeprefix("export ").partition("=") for line in exports.splitlines())
            self.environment |= {name: value.strip("'") for name, _, value in settings}
            yield
        finally:
            subprocess.run([*command, "down"], env=self.environment, cwd=REPOSITORY, check=True)

    def spool(self) -> Spool:
        """The stack's spool."""
        config = load(PipelineConfig, self.environment)
        return Spool.open(config.resolved_spool_dir(), config.resolved_source(), create=False)

    def wait_for_quiet(self) -> None:
        """Wait until no DAG runs: a new installation begins with one run of each."""
        while any(run["state"] in {"queued", "running"} for run in self._api("dags/~/dagRuns?limit=100")["dag_runs"]):
            time.sleep(1)

    def run_dag(self) -> Run:
        """Trigger a run and wait for its success."""
        path, cpu = f"dags/{_DAG}/dagRuns", self._cpu_seconds()
        run_id = self._api(path, {"logical_date": None, "conf": {}})["dag_run_id"]
        path = f"{path}/{urllib.parse.quote(run_id)}"
        deadline = time.monotonic() + _RUN_SECONDS
        while (run := self._api(path))["state"] in {"queued", "running"} and time.monotonic() < deadline:
            time.sleep(0.5)
        if run["state"] != "success":
            raise SystemExit(f"{run_id} is {run['state']}")
        cpu = self._since(cpu)
        window = self._api(f"{path}/taskInstances/open_window/xcomEntries/return_value")["value"]
        listed = self._api(f"{path}/taskInstances?limit=500")["task_instances"]
        started = _instant(run["start_date"])
        tasks = [
            Task(task["task_id"], _instant(task["start_date"]) - started, task["duration"])
            for task in listed
            if task["state"] == "success" and task["start_date"]
        ]
        cost = Cost(_instant(run["end_date"]) - started, cpu)
        return Run(cost, window["records"], tasks)

    def run_dbt(self) -> Cost:
        """Load what is new, and measure only `dbt build` over its window, as on the command line."""
        spool, config = self.spool(), load(PipelineConfig, self.environment)
        warehouse = Warehouse.connect(load(WarehouseConfig, self.environment))
        pipeline.seal_segments(spool, config)
        pipeline.load_segments(spool, warehouse, config, run_id="bench")
        window = pipeline.open_window(warehouse)
        if window is None:
            raise SystemExit("nothing was loaded")
        dbt = self._installation.executable("airflow", "dbt")
        project = str(self._installation.dbt_project)
        target = self._installation.home / "bench"
        command = [dbt, "build", "--exclude", "tag:maintenance", "--project-dir", project, "--profiles-dir", project]
        command += ["--target-path", str(target), "--log-path", str(target)]
        settings = dbt_environment(load(WarehouseConfig, self.environment)) | window.to_environment()
        started, cpu = time.perf_counter(), self._cpu_seconds()
        subprocess.run(command, env=self.environment | settings, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        cost = Cost(time.perf_counter() - started, self._since(cpu))
        pipeline.close_window(warehouse, window, run_id="bench")
        return cost

    def _since(self, before: dict[str, float]) -> dict[str, float]:
        return {part: seconds - before.get(part, 0) for part, seconds in self._cpu_seconds().items()}

    def _cpu_seconds(self) -> dict[str, float]:
        """Of the stack's processes with their ended children, by part, and of our own ended children, until now."""
        home, own = f"PULSE_HOME={self._installation.home}".encode(), os.times()
        seconds = defaultdict(float, dbt=own.children_user + own.children_system)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                variables = (process / "environ").read_bytes().split(b"\0")
                if home not in variables:
                    continue
                part = next((v.partition(b"=")[2].decode() for v in variables if v.startswith(_PART)), "other")
                # After the name, which may hold anything: utime, stime, cutime, cstime are fields 14 to 17.
                ticks = sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15]))
            except OSError:  # ended meanwhile, or not ours
                continue
            seconds[part] += ticks / os.sysconf("SC_CLK_TCK")
        return seconds

    def parse_seconds(self) -> tuple[float, float]:
        """Of a new process: all of it; of the DAG file alone, after the imports of Airflow and Cosmos."""
        code = (
            "import runpy, time; from airflow.sdk import DAG; import cosmos, cosmos.operators.local;"
            "started = time.perf_counter(); runpy.run_path('dags/market_pulse.py');"
            "print('parsed', time.perf_counter() - started)"
        )
        paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "plugins")))
        environment = self.environment | {
            "PYTHONPATH": paths,
            "AIRFLOW_HOME": str(self._installation.airflow_home),
            "AIRFLOW__COSMOS__CACHE_DIR": str(self._installation.airflow_home / "cosmos"),
            "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        }
        python = self._installation.executable("airflow", "python")
        started = time.perf_counter()
        output = subprocess.check_output([python, "-c", code], env=environment, cwd=REPOSITORY, text=True)
        total = time.perf_counter() - started
        return total, float(output.rpartition("parsed ")[2])

    def _api(self, path: str, body: object = None) -> Any:
        if not self._token:
            login = {
                "username": credentials.ADMIN_USER,
                "password": credentials.password(self._installation.airflow_home),
            }
            self._token = web.post_json(f"{self._url}/auth/token", login, timeout=_ANSWER_SECONDS)["access_token"]
        url, headers = f"{self._url}/api/v2/{path}", {"Authorization": f"Bearer {self._token}"}
        if body is None:
            return web.get_json(url, timeout=_ANSWER_SECONDS, headers=headers)
        return web.post_json(url, body, timeout=_ANSWER_SECONDS, headers=headers)


def main(arguments: list[str] | None = None) -> int:
    """Print what was measured. 1 when the goals are missed."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pulse-bench-dag-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        with bench.running():
            bench.wait_for_quiet()
            market = Market(bench.spool())
            _round(
                bench, market, options.records, 0
            )  # the first of each also parses the project and creates the tables
            rounds = [_round(bench, market, options.records, number) for number in range(1, options.rounds + 1)]
            parses = [bench.parse_seconds() for _ in range(3)]
    return _report(rounds, parses)


def _round(bench: Bench, market: Market, records: int, number: int) -> tuple[Run, Cost]:
    run: Run | None = None
    dbt: Cost | None = None
    for run_is_next in (True, False) if number % 2 else (False, True):
        market.write(records)
        if run_is_next:
            run = bench.run_dag()
        else:
            dbt = bench.run_dbt()
    if run is None or dbt is None or run.records < records:
        raise SystemExit(f"not {records} records: {run}")
    _say(
        f"round {number}: run {run.cost.wall:.1f} s, dbt build {dbt.wall:.1f} s, ratio {run.cost.wall / dbt.wall:.2f};"
        f" CPU {run.cost.cpu:.1f} s, {dbt.cpu:.1f} s, ratio {run.cost.cpu / dbt.cpu:.2f}"
    )
    return run, dbt


def _report(rounds: list[tuple[Run, Cost]], parses: list[tuple[float, float]]) -> int:
    run = sorted((run for run, _ in rounds), key=lambda run: run.cost.wall)[len(rounds) // 2]
    for task in sorted(run.tasks, key=lambda task: task.started):
        _say(f"  {task.started:6.1f} + {task.seconds:5.1f} s  {task.name}")
    seconds = statistics.median(run.cost.wall for run, _ in rounds)
    ratio = statistics.median(run.cost.wall / dbt.wall for run, dbt in rounds)
    for part, cpu in sorted(run.cost.by_part.items(), key=lambda item: -item[1]):
        _say(f"  CPU {cpu:6.1f} s  {part}")
    cpu_of_run = statistics.median(run.cost.cpu for run, _ in rounds)
    cpu_of_dbt = statistics.median(dbt.cpu for _, dbt in rounds)
    parse = min(alone for _, alone in parses)
    _say(f"run      {seconds:6.1f} s   CPU {cpu_of_run:6.1f} s   (goal {_GOAL_SECONDS} s)")
    _say(f"dbt      {statistics.median(dbt.wall for _, dbt in rounds):6.1f} s   CPU {cpu_of_dbt:6.1f} s")
    _say(f"ratio    {ratio:6.2f}     CPU {cpu_of_run / cpu_of_dbt:6.2f}     (goal {_GOAL_RATIO})")
    _say(f"parse    {parse:6.2f} s   of the DAG file in a new process (goal {_GOAL_PARSE} s)")
    _say(f"         {min(total for total, _ in parses):6.2f} s   with the start of Python and the imports before it")
    return int(seconds > _GOAL_SECONDS or ratio > _GOAL_RATIO or parse > _GOAL_PARSE)


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _free_ports(count: int) -> list[int]:
    sockets = [socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A run of market_pulse against plain dbt build.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=10_000, help="new in each round")
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
