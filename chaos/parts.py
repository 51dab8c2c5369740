"""The real parts as processes: the fake exchange, the streamer, the local warehouse, and a proxy in front of it."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

REPOSITORY = Path(__file__).resolve().parents[1]
_WAREHOUSE_PYTHON = REPOSITORY / ".venvs" / "warehouse" / "bin" / "python"
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_REQUEST_SECONDS = 10.0
_POLL_SECONDS = 0.05


class PartFailed(Exception):
    """A part does not start, or does not do what it should."""


def eventually(probe: Callable[[], bool], what: str, *, within: float = _START_SECONDS) -> None:
    """Wait for a condition. Raises PartFailed."""
    deadline = time.monotonic() + within
    while not probe():
        if time.monotonic() > deadline:
            raise PartFailed(f"not within {within:g} s: {what}")
        time.sleep(_POLL_SECONDS)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Part:
    """A program, its settings and its log. It ends with this process's `end`, not by itself."""

    def __init__(self, name: str, command: list[str], settings: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._settings = settings

    def spawn(self, command: list[str] | None = None) -> None:
        """Start it. What it writes goes through a pipe: its log is not on the disk that runs full."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
        self.process = subprocess.Popen(
            command or self._command,
            cwd=REPOSITORY,
            env={**environment, **self._settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._keep_log, args=(self.process,), daemon=True).start()

    def _keep_log(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout, (self.folder / f"{self.name}.log").open("ab", buffering=0) as log:
            while block := os.read(process.stdout.fileno(), 65536):
                log.write(block)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def was_killed(self) -> bool:
        """Whether it ended by kill -9."""
        return self.process is not None and self.process.poll() == -signal.SIGKILL

    def kill(self) -> bool:
        """kill -9, and wait; whether it was that which ended it, and not its own doing."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.process.kill()
        return self.process.wait() == -signal.SIGKILL

    def stop(self) -> None:
        """Stop in order. Raises PartFailed when it does not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise PartFailed(f"{self.name} does not stop within {_STOP_SECONDS:g} s") from None


class Exchange(Part):
    """The fake exchange. What it sent before it was killed is kept aside."""

    def __init__(self, folder: Path, *, products: tuple[str, ...], trades_a_second: int, seed: int) -> None:
        self.ws_port, self.rest_port = free_ports(2)
        self.data = folder / "exchange"
        self._lives = 0
        settings = {
            "PULSE_SIMULATOR_DIR": str(self.data),
            "PULSE_SIMULATOR_WS_PORT": str(self.ws_port),
            "PULSE_SIMULATOR_REST_PORT": str(self.rest_port),
            "PULSE_SIMULATOR_PRODUCTS": ",".join(products),
            "PULSE_SIMULATOR_RATE": str(trades_a_second),
            "PULSE_SIMULATOR_SEED": str(seed),
            "PULSE_SIMULATOR_REST_RATE": "1000000",
            "PULSE_SIMULATOR_REST_BURST": "1000000",
            "PULSE_SIMULATOR_RECORD_SENT": "true",
        }
        super().__init__("exchange", [sys.executable, "-m", "simulator"], settings, folder)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        eventually(lambda: self.get("/healthz") is not None, "the exchange answers")

    @property
    def journals(self) -> list[Path]:
        """Folders of what was sent, one for each life of the process, in their order."""
        earlier = [self.data / f"sent-{life}" for life in range(self._lives)]
        return [*earlier, self.data / "sent"]

    def kill(self) -> bool:
        """Also keeps the journals, which the next process would remove."""
        killed = super().kill()
        if killed and (self.data / "sent").exists():
            (self.data / "sent").rename(self.data / f"sent-{self._lives}")
            self._lives += 1
        return killed

    def get(self, path: str) -> requests.Response | None:
        """The answer, None when there is none."""
        try:
            reply = requests.get(f"http://127.0.0.1:{self.rest_port}{path}", timeout=_REQUEST_SECONDS)
        except requests.RequestException:
            return None
        return reply if reply.ok else None

    def inject(self, **fault: Any) -> bool:
        """Ask for a fault; False where nobody is there to do it, or it does not fit now."""
        try:
            url = f"http://127.0.0.1:{self.rest_port}/control/faults"
            return requests.post(url, json=fault, timeout=_REQUEST_SECONDS).ok
        except requests.RequestException:
            return False

    def injected(self) -> dict[str, int]:
        """Injections of this process so far, by kind."""
        reply = self.get("/control/journal")
        counted: dict[str, int] = {}
        for entry in reply.json()["injected"] if reply is not None else []:
            counted[entry["kind"]] = counted.get(entry["kind"], 0) + 1
        return counted

    def clear(self) -> None:
        """Take back every fault."""
        requests.delete(f"http://127.0.0.1:{self.rest_port}/control/faults", timeout=_REQUEST_SECONDS)


class Streamer(Part):
    """The streamer, with what each of its sessions had called durable."""

    def __init__(self, folder: Path, settings: Mapping[str, str], port: int) -> None:
        super().__init__("streamer", [sys.executable, "-m", "streamer"], settings, folder)
        self.durable: dict[str, int] = {}
        self.point: str | None = None
        self._url = f"http://127.0.0.1:{port}/status"

    def start(self, point: str | None = None, call: int = 1) -> None:
        """Start it, perhaps to die at a point."""
        self.point = point
        self.spawn(None if point is None else [sys.executable, "-m", "chaos.streamer", str(call), point])

    def look(self) -> dict[str, Any] | None:
        """Its status, None when it does not answer; notes what is durable."""
        try:
            status: dict[str, Any] = requests.get(self._url, timeout=_REQUEST_SECONDS).json()
        except (requests.RequestException, json.JSONDecodeError):
            return None
        session = status["session_id"]
        self.durable[session] = max(self.durable.get(session, 0), status["durable_record_no"])
        return status

    def hang(self, is_hung: bool) -> None:
        """Let it stand still, or go on."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP if is_hung else signal.SIGCONT)

    def fill_disk(self, is_full: bool) -> None:
        """Let its files not grow any more, or again."""
        if self.process is not None and self.process.poll() is None:
            size = 0 if is_full else resource.RLIM_INFINITY
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class WarehouseServer(Part):
    """The local warehouse."""

    def __init__(self, folder: Path) -> None:
        self.port, grpc_port = free_ports(2)
        settings = {
            "PULSE_WAREHOUSE_DIR": str(folder / "warehouse"),
            "PULSE_WAREHOUSE_PORT": str(self.port),
            "PULSE_WAREHOUSE_GRPC_PORT": str(grpc_port),
        }
        super().__init__("warehouse", [str(_WAREHOUSE_PYTHON), "-m", "emulator"], settings, folder)

    @property
    def url(self) -> str:
        """Its REST endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        eventually(self._answers, "the warehouse answers")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=_REQUEST_SECONDS).ok
        except requests.RequestException:
            return False


class Proxy(Part):
    """BigQuery's worse answers, in front of the local warehouse."""

    def __init__(self, folder: Path, upstream: str) -> None:
        (self.port,) = free_ports(1)
        program = str(REPOSITORY / "tests" / "warehouse" / "bigquery_proxy.py")
        command = [sys.executable, program, "--upstream", upstream, "--port", str(self.port)]
        super().__init__("proxy", command, {}, folder)

    @property
    def url(self) -> str:
        """What the pipeline and dbt take for BigQuery."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.spawn()
        eventually(self._answers, "the proxy answers")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/_faults", timeout=_REQUEST_SECONDS).ok
        except requests.RequestException:
            return False

    def add(self, **fault: Any) -> None:
        """One more fault."""
        requests.post(f"{self.url}/_faults", json=fault, timeout=_REQUEST_SECONDS).raise_for_status()

    def faults(self) -> list[dict[str, Any]]:
        """All, with `hits`."""
        faults: list[dict[str, Any]] = requests.get(f"{self.url}/_faults", timeout=_REQUEST_SECONDS).json()
        return faults

    def clear(self) -> None:
        """No fault any more."""
        requests.delete(f"{self.url}/_faults", timeout=_REQUEST_SECONDS).raise_for_status()
