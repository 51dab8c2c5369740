"""A local warehouse of one's own, and the steps of a run on it: seal, load, window, dbt, close."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from include.config import PipelineConfig, WarehouseConfig
from include.pipeline import close_window, load_segments, open_window, seal_segments
from include.spool import Spool
from include.warehouse.dbt_environment import dbt_environment
from include.warehouse.warehouse import Warehouse

ROOT = Path(__file__).parents[1]
_WAREHOUSE_PYTHON = ROOT / ".venvs" / "warehouse" / "bin" / "python"
_DBT = ROOT / ".venvs" / "airflow" / "bin" / "dbt"
_DBT_PROJECT = ROOT / "include" / "dbt"
_START_SECONDS = 120


class DbtFailed(RuntimeError):
    """A dbt command did not succeed; the message is the end of what it printed."""


class DbtTimes(NamedTuple):
    """How long each model, test or view took by dbt's own account, in seconds."""

    nodes: dict[str, float]

    @property
    def total(self) -> float:
        """All nodes together: they run one after the other on the local warehouse."""
        return sum(self.nodes.values())


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start `python -m emulator` on free ports with its data in `folder`; its URL. It ends with the block."""
    port, grpc_port = _free_ports(2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")} | {
        "PULSE_WAREHOUSE_DIR": str(folder),
        "PULSE_WAREHOUSE_PORT": str(port),
        "PULSE_WAREHOUSE_GRPC_PORT": str(grpc_port),
    }
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([_WAREHOUSE_PYTHON, "-m", "emulator"], cwd=ROOT, env=environment) as process:
        try:
            _wait_for(f"{url}/healthz", process)
            yield url
        finally:
            process.terminate()


def run(
    spool: Spool, warehouse: Warehouse, target: Path, *selection: str, pipeline: PipelineConfig | None = None
) -> DbtTimes:
    """One run of the pipeline over what lies in the spool. `target` is dbt's folder for this warehouse."""
    config = pipeline or PipelineConfig()
    seal_segments(spool, config)
    loaded = load_segments(spool, warehouse, config, run_id="analysis")
    if loaded["faults"]:
        raise RuntimeError("; ".join(loaded["faults"]))
    window = open_window(warehouse)
    if window is None:
        raise RuntimeError("the spool held nothing")
    times = dbt(warehouse.config, target, "run", *selection, environment=window.to_environment())
    close_window(warehouse, window, run_id="analysis")
    return times


def dbt(config: WarehouseConfig, target: Path, *command: str, environment: Mapping[str, str]) -> DbtTimes:
    """One dbt command of the project. Raises DbtFailed."""
    variables = {
        **os.environ,
        **dbt_environment(config),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target / "logs"),
        "DBT_PROJECT_DIR": str(_DBT_PROJECT),
        "DBT_PROFILES_DIR": str(_DBT_PROJECT),
        **environment,
    }
    done = subprocess.run(
        [_DBT, "--quiet", *command],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DbtFailed(f"dbt {' '.join(command)} failed:\n{done.stdout[-4000:]}")
    results = json.loads((target / "run_results.json").read_text("utf-8"))["results"]
    return DbtTimes({result["unique_id"].split(".")[2]: result["execution_time"] for result in results})


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in bound:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in bound]


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=_START_SECONDS):  # noqa: S310 - loopback
            return
        if process.poll() is not None:
            raise RuntimeError(f"the local warehouse ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"no answer from {url} in {_START_SECONDS} s")
        time.sleep(0.1)
