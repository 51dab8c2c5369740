"""Every port the stack binds, checked before anything starts, with the holder named when one is taken."""

import contextlib
import errno
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from include.config import EmulatorConfig, SimulatorConfig, StackConfig, StreamerConfig, variable_name
from stack.errors import StackError
from stack.plan import Plan

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp, include/net/tcp_states.h


@dataclass(frozen=True)
class Binding:
    """A port that a part will listen on and the variable that sets it."""

    part: str
    variable: str
    host: str
    port: int


def bindings_of(plan: Plan) -> list[Binding]:
    """The ports of the parts that a plan starts."""
    stack = plan.config(StackConfig)
    streamer = plan.config(StreamerConfig)
    bindings = [
        _binding("airflow", "airflow_port", stack.airflow_host, stack.airflow_port),
        _binding("streamer", "streamer_port", streamer.streamer_host, streamer.streamer_port),
    ]
    if plan.own_warehouse:
        emulator = plan.config(EmulatorConfig)
        bindings += [
            _binding("warehouse", "warehouse_port", emulator.warehouse_host, emulator.warehouse_port),
            _binding("warehouse", "warehouse_grpc_port", emulator.warehouse_host, emulator.warehouse_grpc_port),
        ]
    if plan.own_feed:
        simulator = plan.config(SimulatorConfig)
        bindings += [
            _binding("simulator", "simulator_ws_port", simulator.simulator_host, simulator.simulator_ws_port),
            _binding("simulator", "simulator_rest_port", simulator.simulator_host, simulator.simulator_rest_port),
        ]
    return bindings


def _binding(part: str, field: str, host: str, port: int) -> Binding:
    return Binding(part, variable_name(field), host, port)


def check_ports(bindings: Iterable[Binding]) -> None:
    """Raises StackError naming every port that is taken or asked for twice, its variable, and who holds it."""
    problems: list[str] = []
    seen: dict[int, Binding] = {}
    for binding in bindings:
        if (other := seen.setdefault(binding.port, binding)) is not binding:
            problems.append(f"{binding.variable} and {other.variable} are both {binding.port}: give each its own port")
        elif obstacle := _obstacle(binding):
            problems.append(obstacle)
    if problems:
        raise StackError("\n".join(problems))


def _obstacle(binding: Binding) -> str | None:
    """Why a port cannot be bound, or None.

    SO_REUSEADDR, as the servers themselves set it: a port in TIME_WAIT is free.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(binding.host, binding.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            holder = holder_of(binding.port)
            taken_by = f"is taken by {holder}" if holder else "is taken by another process"
            advice = f"End it, or choose another port: {binding.variable}={free_port(binding.host)} make up"
            return f"Port {binding.port} of the {binding.part} {taken_by}. {advice}"
        return f"{binding.variable}={binding.port} on {binding.host}: {error.strerror or error}"
    return None


def free_port(host: str) -> int:
    """A port that is free at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def holder_of(port: int) -> str | None:
    """`pid 123 (command)` of the process that listens on a port; None where /proc does not tell."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        # Another user's process is not readable, and any process or file descriptor may just have ended.
        with contextlib.suppress(OSError):
            if any(_is_one_of(link, inodes) for link in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                return f"pid {process.name} ({command[:80]})"
    return None


def _is_one_of(link: Path, targets: set[str]) -> bool:
    try:
        return str(link.readlink()) in targets
    except OSError:
        return False


def _listening_inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for row in table.read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"
