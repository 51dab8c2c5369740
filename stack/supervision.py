"""The process manager: supervisord with a generated configuration, controlled over its Unix socket.

It restarts what dies (`kill -9` included), stops whole process groups, rotates log files, and outlives the terminal.
All programs inherit one environment from supervisord itself, so that no secret is written into its configuration file.
"""

import configparser
import os
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import Faults, SupervisorTransport

from stack.errors import PartError, StackError
from stack.installation import Installation
from stack.parts import Part

_LOG_BYTES = 10 * 1024 * 1024
_LOG_BACKUPS = 3
_START_SECONDS = 15


@dataclass(frozen=True)
class ProcessInfo:
    """One program as supervisord sees it. `state` is RUNNING, STARTING, BACKOFF, FATAL, EXITED, STOPPED or STOPPING."""

    name: str
    full_name: str
    state: str
    pid: int
    started_at: float
    exit_status: int
    reason: str


def write_configuration(installation: Installation, parts: Sequence[Part], *, foreground: bool = False) -> Path:
    """Write supervisord's configuration and return its path.

    `foreground`: start all at once and log to the terminal.
    """
    config = configparser.RawConfigParser()
    socket_path = installation.socket_path
    config["unix_http_server"] = _escaped({"file": str(socket_path), "chmod": "0700"})
    config["supervisord"] = _escaped(
        {
            "logfile": str(installation.log_path("supervisord")),
            "logfile_maxbytes": str(_LOG_BYTES),
            "logfile_backups": str(_LOG_BACKUPS),
            "pidfile": str(installation.run_dir / "supervisord.pid"),
            "childlogdir": str(installation.log_dir),
            "directory": str(installation.repository),
            "umask": "077",
            # Without it supervisord run by root warns that it keeps root's rights.
            **({"user": "root"} if os.getuid() == 0 else {}),
        }
    )
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for part in parts:
        config[f"program:{part.name}"] = _escaped(_program(installation, part, foreground=foreground))
    groups = sorted({part.group for part in parts if part.group})
    for group in groups:
        config[f"group:{group}"] = {"programs": ",".join(part.name for part in parts if part.group == group)}
    path = installation.run_dir / ("supervisord.foreground.conf" if foreground else "supervisord.conf")
    with path.open("w", encoding="utf-8") as file:
        config.write(file)
    return path


def _program(installation: Installation, part: Part, *, foreground: bool) -> dict[str, str]:
    program = {
        "command": " ".join(_quoted(word) for word in part.command),
        "directory": str(installation.repository),
        "autostart": "true" if foreground else "false",
        # A program that dies is started again at once; one that dies while starting, after 1, 2, 3 … seconds, for
        # hours.
        "autorestart": "unexpected" if part.one_shot else "true",
        "exitcodes": "0",
        "startsecs": "0" if part.one_shot else "2",
        "startretries": "200",
        "stopsignal": "TERM",
        "stopwaitsecs": str(part.stop_seconds),
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": "/dev/stdout" if foreground else str(installation.log_path(part.name)),
        "stdout_logfile_maxbytes": "0" if foreground else str(_LOG_BYTES),
        "stdout_logfile_backups": "0" if foreground else str(_LOG_BACKUPS),
    }
    if part.environment:
        program["environment"] = ",".join(f"{name}={_quoted(value)}" for name, value in part.environment.items())
    return program


def _quoted(value: str) -> str:
    if '"' in value or "\n" in value:
        raise StackError(
            f"{value!r}: supervisord takes no value with a quotation mark or line feed; move the repository"
        )
    return f'"{value}"'


def _escaped(section: Mapping[str, str]) -> dict[str, str]:
    """supervisord expands % in values."""
    return {name: value.replace("%", "%%") for name, value in section.items()}


class Supervisor:
    """Control of one supervisord. Methods raise StackError when it does not answer, PartError when it refuses."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def start(self, configuration: Path, environment: Mapping[str, str]) -> None:
        """Start supervisord in the background and wait until it answers.

        Its environment is what every program inherits.
        """
        installation = self._installation
        command = [installation.executable("core", "supervisord"), "-c", str(configuration)]
        done = subprocess.run(
            command, cwd=installation.repository, env=dict(environment), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise PartError("supervisord", (done.stderr or done.stdout).strip(), installation.log_path("supervisord"))
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_running():
            if time.monotonic() > deadline:
                raise PartError(
                    "supervisord", f"no answer within {_START_SECONDS} s", installation.log_path("supervisord")
                )
            time.sleep(0.05)

    def is_running(self) -> bool:
        """Whether supervisord answers on its socket."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except StackError:
            return False

    def pid(self) -> int:
        """supervisord's own process id."""
        return int(self._call("getPID"))

    def processes(self) -> dict[str, ProcessInfo]:
        """Every program by its own name (without the group's)."""
        return {info["name"]: _process_info(info) for info in self._call("getAllProcessInfo")}

    def start_part(self, part: Part) -> None:
        """Start a program without waiting for anything. Does nothing when it runs."""
        self._tolerant(Faults.ALREADY_STARTED, "startProcess", part.full_name, False)

    def stop_part(self, full_name: str, *, wait: bool) -> None:
        """Stop a program: SIGTERM to its process group, SIGKILL after its time. Does nothing when it does not run."""
        self._tolerant(Faults.NOT_RUNNING, "stopProcess", full_name, wait)

    def shutdown(self) -> None:
        """Stop every program, then supervisord itself. Returns at once."""
        self._call("shutdown")

    def _tolerant(self, accepted_fault: int, method: str, *arguments: object) -> None:
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != accepted_fault:
                raise PartError(str(arguments[0]), fault.faultString) from fault

    def _call(self, method: str, *arguments: object) -> Any:
        url = f"unix://{self._installation.socket_path}"
        transport = SupervisorTransport(None, None, serverurl=url)
        # The address is not used: the transport connects to the socket.
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=cast(xmlrpc.client.Transport, transport))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, xmlrpc.client.ProtocolError) as error:
            raise StackError(
                f"the process manager does not answer on {self._installation.socket_path}: {error}"
            ) from error
        finally:
            transport.close()


def _process_info(info: Mapping[str, Any]) -> ProcessInfo:
    return ProcessInfo(
        name=info["name"],
        full_name=f"{info['group']}:{info['name']}",
        state=info["statename"],
        pid=info["pid"],
        started_at=float(info["start"]),
        exit_status=info["exitstatus"],
        reason=info["spawnerr"],
    )
