"""The local warehouse as a process, for tests that need the real thing. One a test run, started at first use."""

import atexit
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PYTHON = REPO / ".venvs" / "warehouse" / "bin" / "python"
START_SECONDS = 90


@dataclass
class LocalWarehouse:
    """A running emulator; `restart` ends it by kill -9 and starts it on the same ports and data."""

    folder: Path
    port: int
    grpc_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its REST endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
        environment |= {
            "PULSE_WAREHOUSE_DIR": str(self.folder / "data"),
            "PULSE_WAREHOUSE_PORT": str(self.port),
            "PULSE_WAREHOUSE_GRPC_PORT": str(self.grpc_port),
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "emulator"], cwd=REPO, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the emulator did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """As the kernel would: no goodbye."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:  # refused, reset, or accepted and not yet served
            return False


@functools.cache
def local_warehouse() -> LocalWarehouse:
    """The warehouse of this test run."""
    folder = Path(tempfile.mkdtemp(prefix="pulse-test-warehouse-"))
    warehouse = LocalWarehouse(folder, *_free_ports())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(warehouse.kill)
    warehouse.start()
    return warehouse


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
