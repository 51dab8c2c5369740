"""docker-compose.yaml on a real engine, driven by the commands that docs/deployment.md tells its readers to type."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from include.config import WarehouseConfig
from tests.e2e.harness import eventually, free_ports

REPO = Path(__file__).resolve().parents[2]
DOCS = REPO / "docs" / "deployment.md"
PROJECT = "pulse-test"
PORTS = (
    "PULSE_AIRFLOW_PORT",
    "PULSE_STREAMER_PORT",
    "PULSE_WAREHOUSE_PORT",
    "PULSE_WAREHOUSE_GRPC_PORT",
    "PULSE_SIMULATOR_WS_PORT",
    "PULSE_SIMULATOR_REST_PORT",
)
#: What stays up, the source of the feed included.
SERVICES = (
    "api-server",
    "dag-processor",
    "postgres",
    "scheduler",
    "simulator",
    "streamer",
    "triggerer",
    "warehouse",
)


def documented(name: str) -> str:
    """The shell lines under `<!-- tested: NAME -->` in docs/deployment.md."""
    found = re.search(rf"<!-- tested: {re.escape(name)} -->\s*```sh\n(.*?)```", DOCS.read_text("utf-8"), re.S)
    assert found, f"docs/deployment.md has no block `tested: {name}`"
    return found[1]


class ComposeProject:
    """One project of its own: own name, own ports, own volumes."""

    def __init__(self, **settings: str) -> None:
        ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PULSE_", "AIRFLOW", "COMPOSE_P"))}
        inherited.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
        self.environment = inherited | ports | {"COMPOSE_PROJECT_NAME": PROJECT, "PULSE_TAG": "test"} | settings

    def shell(
        self, script: str, *, check: bool = True, timeout: float = 600, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run shell lines in the repository; on failure what they printed is shown."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=REPO,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            logs = self.shell("docker compose logs --no-color --tail 30", check=False).stdout
            pytest.fail(f"{script}\n→ {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{logs[-12000:]}")
        return done

    def compose(self, arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """`docker compose …`."""
        return self.shell(f"docker compose {arguments}", **options)

    def remove_all(self) -> None:
        """Containers, volumes and our images: the next start builds what the repository has now."""
        self.compose("down -v --remove-orphans --timeout 5", check=False)
        images = " ".join(f"market-pulse-{image}:test" for image in ("airflow", "app", "warehouse"))
        self.shell(f"docker image rm --force {images}", check=False)

    def container(self, service: str) -> str:
        """Id of a service's container."""
        return self.compose(f"ps -aq {service}").stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows about a service's container."""
        details: dict[str, Any] = json.loads(self.shell(f"docker inspect {self.container(service)}").stdout)[0]
        return details

    def is_healthy(self, service: str) -> bool:
        """Whether the container runs and its health check passes."""
        state = self.inspect(service)["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")

    def kill(self, service: str) -> None:
        """kill -9 of the container's first process from outside, as the kernel would; waits until it is back."""
        before = self.inspect(service)["State"]
        os.kill(before["Pid"], signal.SIGKILL)
        eventually(
            lambda: self.inspect(service)["State"]["StartedAt"] != before["StartedAt"] and self.is_healthy(service),
            within=300,
            what=f"{service} is back and healthy",
        )

    @property
    def datasets(self) -> dict[str, str]:
        """Role → dataset id."""
        config = WarehouseConfig(source="simulated")  # type: ignore[arg-type]
        return {role: f"pulse_sim_{role}" for role in config.datasets()._asdict()}

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query, {raw}, {ops} and {marts} being the datasets."""
        client = bigquery.Client(
            project="market-pulse",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": f"http://127.0.0.1:{self.environment['PULSE_WAREHOUSE_PORT']}"},
        )
        try:
            return [dict(row) for row in client.query_and_wait(sql.format(**self.datasets))]
        finally:
            client.close()

    def url(self, port: str, path: str) -> str:
        """Address of a published port."""
        return f"http://127.0.0.1:{self.environment[port]}{path}"

    def truth(self, product: str, first_id: int, last_id: int) -> list[dict[str, Any]]:
        """The trades the fake exchange made, ids inclusive."""
        query = f"/truth/trades?product_id={product}&from_id={first_id}&to_id={last_id}"
        with urllib.request.urlopen(self.url("PULSE_SIMULATOR_REST_PORT", query), timeout=60) as reply:
            return [json.loads(line) for line in reply]

    def archived_records(self) -> list[dict[str, Any]]:
        """Every record of the archived segments, read without the project's own code."""
        read = (
            "import pathlib, sys, zstandard\n"
            "for path in sorted(pathlib.Path('/var/lib/pulse/spool/simulated/archived').rglob('*.ndjson.zst')):\n"
            "    sys.stdout.buffer.write(zstandard.open(path, 'rb').read())\n"
        )
        lines = self.compose(f'exec -T scheduler python -c "{read}"').stdout.splitlines()
        return [json.loads(line) for line in lines]

    # Airflow ----------------------------------------------------------------------------------------------------

    @cached_property
    def login(self) -> tuple[str, str, str]:
        """Address, user and password as the documented command shows them."""
        shown = self.shell(documented("login")).stdout
        found = re.search(r"(http\S+)\s+user (\S+)\s+password (\S+)", shown)
        assert found, shown
        return found[1], found[2], found[3]

    def token(self, password: str) -> str:
        """A token of the admin. Raises urllib.error.HTTPError for a wrong password."""
        address, user, _ = self.login
        body = json.dumps({"username": user, "password": password}).encode()
        request = urllib.request.Request(f"{address}/auth/token", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return str(json.load(reply)["access_token"])

    def airflow(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of Airflow's REST API, repeated while the API server is away."""
        address, _, password = self.login

        def call() -> list[Any] | None:
            try:
                headers = {"Authorization": f"Bearer {self.token(password)}", "Content-Type": "application/json"}
                data = None if body is None else json.dumps(body).encode()
                request = urllib.request.Request(f"{address}/api/v2/{path}", data, headers)
                with urllib.request.urlopen(request, timeout=30) as reply:
                    return [json.load(reply)]
            except (ConnectionError, TimeoutError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise
                return None

        return eventually(call, within=120, what=f"Airflow answers {path}")[0]

    def trigger(self) -> str:
        """Trigger a run of market_pulse; its id."""
        return str(self.airflow("dags/market_pulse/dagRuns", {"logical_date": None, "conf": {}})["dag_run_id"])

    def state_of(self, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.airflow(f"dags/market_pulse/dagRuns/{run_id}")["state"])

    def wait_for(self, run_id: str, *, within: float = 600) -> None:
        """Until the run succeeded."""
        over = {"success", "failed"}
        eventually(lambda: self.state_of(run_id) in over, within=within, what=f"run {run_id} is over")
        tasks = self.airflow(f"dags/market_pulse/dagRuns/{run_id}/taskInstances?limit=200")["task_instances"]
        states = {task["task_id"]: task["state"] for task in tasks}
        assert self.state_of(run_id) == "success", states

    def wait_for_all(self) -> None:
        """Until no run of any DAG is unfinished."""

        def over() -> bool:
            runs = self.airflow("dags/~/dagRuns?limit=100")["dag_runs"]
            return bool(runs) and all(run["state"] in {"success", "failed"} for run in runs)

        eventually(over, within=900, what="the scheduled runs are over")
