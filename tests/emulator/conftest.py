"""A local warehouse as a process of its own, driven by Google's client."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venvs" / "warehouse" / "bin" / "python"
PROJECT = "test-project"
START_SECONDS = 60


class Warehouse:
    """`python -m emulator` over one data folder; may be killed and started again, on the same ports."""

    root = ROOT
    python = str(PYTHON)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.grpc_port = _free_ports(2)
        self.process: subprocess.Popen[bytes] | None = None
        self.client = bigquery.Client(
            PROJECT,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": f"http://127.0.0.1:{self.port}"},
        )

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the process, and nothing else of ours."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(Path.home()),
            "PYTHONPATH": str(ROOT),
            "PULSE_PROJECT": PROJECT,
            "PULSE_WAREHOUSE_DIR": str(self.folder),
            "PULSE_WAREHOUSE_PORT": str(self.port),
            "PULSE_WAREHOUSE_GRPC_PORT": str(self.grpc_port),
        }

    def launch(self, *command: str) -> subprocess.Popen[bytes]:
        """Start the process and do not wait for it; `command` replaces `-m emulator`."""
        arguments = [self.python, *(command or ("-m", "emulator"))]
        self.process = subprocess.Popen(arguments, cwd=ROOT, env=self.environment)
        return self.process

    def start(self, *command: str) -> None:
        """Start the process and wait until it serves."""
        process = self.launch(*command)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("healthz"), timeout=START_SECONDS):
                return
            assert process.poll() is None, f"the warehouse ended with {process.returncode}"
            assert time.monotonic() < deadline, f"no answer in {START_SECONDS} s"

    def kill(self) -> None:
        """SIGKILL, as the kernel or a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Stop it by a signal; the exit code."""
        assert self.process is not None
        self.process.send_signal(by)
        return self.process.wait(START_SECONDS)

    @staticmethod
    def unused_port() -> int:
        """A port that nobody listens on."""
        return _free_ports(1)[0]

    def url(self, path: str) -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of a query as tuples."""
        return [tuple(row.values()) for row in self.client.query_and_wait(sql)]

    def load(self, table: str, rows: list[dict[str, Any]], **options: Any) -> bigquery.LoadJob:
        """Upload rows as NDJSON and wait for the job. `job_id` and the fields of LoadJobConfig are options."""
        body = b"\n".join(json.dumps(row).encode() for row in rows)
        return self.upload(table, body, **options)

    def upload(self, table: str, body: bytes, **options: Any) -> bigquery.LoadJob:
        """Upload NDJSON as it is and wait for the job."""
        job = self.submit(table, body, **options)
        job.result()
        return job

    def submit(self, table: str, body: bytes, job_id: str | None = None, **options: Any) -> bigquery.LoadJob:
        """Upload NDJSON and return the job as the server answered."""
        config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", **options)
        return self.client.load_table_from_file(
            BytesIO(body), f"{PROJECT}.{table}", job_id=job_id, job_config=config, num_retries=0
        )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in bound:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in bound]


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(folder)
    try:
        yield warehouse
    finally:
        warehouse.client.close()  # type: ignore[no-untyped-call]
        if warehouse.process is not None and warehouse.process.poll() is None:
            warehouse.stop()


@pytest.fixture(scope="session")
def warehouse_factory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[Warehouse]]:
    """Makes warehouses over new folders, not started yet and stopped at the end."""
    return lambda: _running(tmp_path_factory.mktemp("warehouse"))


@pytest.fixture(scope="session")
def warehouse(warehouse_factory: Callable[[], AbstractContextManager[Warehouse]]) -> Iterator[Warehouse]:
    """One warehouse for all tests that do not stop it: each uses a dataset of its own."""
    with warehouse_factory() as running:
        running.start()
        yield running


@pytest.fixture
def dataset(warehouse: Warehouse, request: pytest.FixtureRequest) -> str:
    """A dataset named after the test."""
    name = re.sub(r"\W", "_", request.node.name)
    warehouse.client.create_dataset(name)
    return name


@pytest.fixture
def own_warehouse(warehouse_factory: Callable[[], AbstractContextManager[Warehouse]]) -> Iterator[Warehouse]:
    """A warehouse for one test, not started yet."""
    with warehouse_factory() as running:
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=6, help="how often the warehouse is killed at a random moment")
