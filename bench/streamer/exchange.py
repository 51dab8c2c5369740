"""The server's side of one connection: Python shakes hands, then the generator in C has the socket."""

import base64
import hashlib
import json
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")

#: Every so many frames of the generator one is a heartbeat.
FRAMES_PER_HEARTBEAT = 101

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SECONDS = 30.0


class Sent(NamedTuple):
    """What the generator did."""

    sent: int
    seconds: float
    cpu_seconds: float
    late_seconds: float
    """How far it fell behind its pace at most; means nothing when it had none."""

    @property
    def idle(self) -> float:
        """The share of the time in which it waited for the receiver or the clock."""
        return 1 - self.cpu_seconds / self.seconds


class Exchange:
    """Listens on a loopback port of its own for one receiver."""

    def __init__(self, generator: Path) -> None:
        self._generator = generator
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self._peer: socket.socket | None = None

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self._listener.close()

    def accept(self, *, subscribes: bool) -> None:
        """Wait for the receiver, shake hands, and acknowledge its subscription if it sends one."""
        self._peer, _ = self._listener.accept()
        self._peer.settimeout(_SECONDS)
        self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += self._peer.recv(4096)
        headers = dict(line.split(b": ", 1) for line in request.splitlines()[1:] if line)
        key = next(value for name, value in headers.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self._peer.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        if subscribes:
            self._peer.recv(65536)  # small enough to come in one piece on loopback
            channels = [{"name": name, "product_ids": PRODUCTS} for name in ("matches", "ticker", "heartbeat")]
            answer = json.dumps({"type": "subscriptions", "channels": channels}, separators=(",", ":")).encode()
            self._peer.sendall(b"\x81\x7e" + len(answer).to_bytes(2) + answer)
        self._peer.setblocking(True)

    def start(self, count: int, rate: float, dialect: str) -> subprocess.Popen[bytes]:
        """Begin to send."""
        assert self._peer is not None
        command: list[str | Path] = [self._generator, str(count), str(rate), dialect]
        return subprocess.Popen(command, stdin=self._peer.fileno(), stdout=subprocess.PIPE)

    def finish(self, generator: subprocess.Popen[bytes], seconds: float) -> Sent:
        """Wait until everything was sent. Raises subprocess.TimeoutExpired, and what made the generator fail."""
        output, _ = generator.communicate(timeout=seconds)
        if generator.returncode:
            raise subprocess.CalledProcessError(generator.returncode, generator.args)
        return Sent(**json.loads(output))

    def hang_up(self) -> None:
        """Close the connection."""
        if self._peer is not None:
            self._peer.close()
