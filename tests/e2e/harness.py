"""The real whole: `make up` in a home of its own, driven as its users drive it."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
RECORDINGS = Path(os.environ.get("PULSE_RECORDINGS", REPO.parent / "shared" / "recordings"))

PORTS = (
    "PULSE_WAREHOUSE_PORT",
    "PULSE_WAREHOUSE_GRPC_PORT",
    "PULSE_SIMULATOR_WS_PORT",
    "PULSE_SIMULATOR_REST_PORT",
    "PULSE_STREAMER_PORT",
    "PULSE_AIRFLOW_PORT",
)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def eventually[T](probe: Callable[[], T | None], *, within: float, what: str, pause_max: float = 1.0) -> T:
    """The first truthy answer of a probe; fails with the last one after `within` seconds.

    `pause_max`: seconds between two probes; what may last for less than one needs a smaller one.
    """
    deadline = time.monotonic() + within
    pause = 0.05
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within} s: {what} (last answer: {answer!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, pause_max)


class RunningStack:
    """A stack of its own: own home, own ports, own data."""

    def __init__(self, home: Path, **settings: str) -> None:
        ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "AIRFLOW"))}
        self.environment = inherited | ports | {"PULSE_HOME": str(home)} | settings
        self.home = home

    def make(self, *arguments: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run make with this stack's environment; on failure the output is shown."""
        done = subprocess.run(
            ["make", "--no-print-directory", *arguments],
            cwd=REPO,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"make {' '.join(arguments)} → {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
        return done

    def status(self) -> dict[str, Any]:
        """What `make status FORMAT=json` says."""
        answer: dict[str, Any] = json.loads(self.make("status", "FORMAT=json", check=False).stdout)
        return answer

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query, with {raw}, {ops}, {marts} replaced by the dataset names."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        status = self._known
        client = bigquery.Client(
            project=status["project"],
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": status["warehouse_url"]},
        )
        try:
            return [dict(row) for row in client.query_and_wait(sql.format(**status["datasets"]))]
        finally:
            client.close()

    def up(self, *arguments: str) -> None:
        """`make up`, and remember where things are."""
        self.make("up", *arguments)
        self._known = self.status()

    def get(self, url: str) -> Any:
        """JSON of a GET."""
        with urllib.request.urlopen(url, timeout=30) as reply:
            return json.load(reply)

    @property
    def known(self) -> dict[str, Any]:
        """The status right after `up`."""
        return self._known

    def airflow(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of Airflow's REST API as the admin whom the status names."""
        base = self._known["airflow_url"].rstrip("/")
        request = urllib.request.Request(
            f"{base}/api/v2/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token(base)}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as reply:
            return json.load(reply)

    def _token(self, base: str) -> str:
        user = self._known["airflow_user"]
        password = json.loads(Path(self._known["airflow_password_file"]).read_text())[user]
        request = urllib.request.Request(
            f"{base}/auth/token",
            data=json.dumps({"username": user, "password": password}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as reply:
            return str(json.load(reply)["access_token"])

    def runs(self) -> list[dict[str, Any]]:
        """The DAG's runs, newest first."""
        listed: list[dict[str, Any]] = self.airflow("dags/market_pulse/dagRuns?order_by=-run_after&limit=100")[
            "dag_runs"
        ]
        return listed

    def state_of(self, run_id: str) -> str:
        """State of a run."""
        return str(self.airflow(f"dags/market_pulse/dagRuns/{run_id}")["state"])

    def tasks_of(self, run_id: str) -> dict[str, str]:
        """Task → state of a run."""
        listed = self.airflow(f"dags/market_pulse/dagRuns/{run_id}/taskInstances?limit=200")["task_instances"]
        return {task["task_id"]: task["state"] for task in listed}

    def has_process(self, wanted: str) -> bool:
        """Whether a process of this stack has `wanted` in its command line."""
        return any(wanted in command for command in processes_of(self.home).values())

    def truth(self, product: str, first_id: int, last_id: int) -> list[dict[str, Any]]:
        """The trades the simulator made, ids inclusive."""
        query = f"product_id={product}&from_id={first_id}&to_id={last_id}"
        with urllib.request.urlopen(f"{self.known['simulator_url']}/truth/trades?{query}", timeout=60) as reply:
            return [json.loads(line) for line in reply]

    def trigger(self) -> str:
        """Trigger a run; its id."""
        return str(self.airflow("dags/market_pulse/dagRuns", {"logical_date": None, "conf": {}})["dag_run_id"])

    def unfinished_runs(self) -> list[str]:
        """Ids of the runs of all DAGs that are not over."""
        runs = self.airflow("dags/~/dagRuns?limit=100")["dag_runs"]
        return [run["dag_run_id"] for run in runs if run["state"] not in {"success", "failed"}]

    def run_to_success(self, *, within: float = 240) -> dict[str, Any]:
        """Trigger a run and wait until it succeeded."""
        run_id = self.trigger()
        run: dict[str, Any] = eventually(
            lambda: next(
                (r for r in self.runs() if r["dag_run_id"] == run_id and r["state"] in {"success", "failed"}), None
            ),
            within=within,
            what=f"run {run_id} is over",
        )
        assert run["state"] == "success", self.airflow(f"dags/market_pulse/dagRuns/{run_id}/taskInstances")
        return run


def running(home: Path, *arguments: str, **settings: str) -> Iterator[RunningStack]:
    """A stack that is up; stopped at the end, and shown to have left no process behind."""
    stack = RunningStack(home, **settings)
    try:
        stack.up(*arguments)
        yield stack
    finally:
        stack.make("down", check=False)
        assert processes_of(home) == {}, "make down left processes behind"


def processes_of(home: Path) -> dict[int, str]:
    """Pid → command line of the processes whose environment says that they belong to the stack of this home."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            if f"PULSE_HOME={home}\0".encode() in environment + b"\0":
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:  # ended meanwhile, or not ours
            continue
    return found


def kill_process(home: Path, wanted: str, *, within: float = 60) -> int:
    """kill -9 of the stack's process whose command line contains `wanted`, as soon as there is one; its pid."""

    def once() -> int | None:
        for pid, command in processes_of(home).items():
            if wanted in command:
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

    deadline = time.monotonic() + within
    while (pid := once()) is None:
        assert time.monotonic() < deadline, f"no process {wanted!r} within {within} s: {processes_of(home)}"
    return pid
