"""What one warehouse process needs for itself: its folder and its ports."""

import contextlib
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path


class ClaimError(RuntimeError):
    """The folder or a port belongs to another process. The text names it and the setting that moves us elsewhere."""


@contextlib.contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Hold the data folder (created if missing) by an exclusive flock on `<folder>/.lock`.

    The lock falls with the process, however it dies. Raises ClaimError when another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClaimError(
                f"{folder} is in use by another warehouse process. "
                "Stop that one or set PULSE_WAREHOUSE_DIR to another folder."
            ) from None
        yield


@contextlib.contextmanager
def claim_port(host: str, port: int, variable: str) -> Iterator[socket.socket]:
    """A socket listening on host and port; who connects before it is served waits.

    Raises ClaimError, naming the setting `variable`, when the port cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise ClaimError(
                f"port {port} on {host} cannot be used ({error.strerror}). Set {variable} to another port."
            ) from None
        yield listener


def check_port(host: str, port: int, variable: str) -> None:
    """Raise ClaimError unless the port is free now. For a server that binds by itself and would share a taken port."""
    with claim_port(host, port, variable):
        pass
