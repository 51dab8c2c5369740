"""A simulator process and a client of its feed, as tests use them."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
from websockets.asyncio.client import ClientConnection, connect

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 20.0

#: A REST limit that no test reaches.
UNLIMITED = {"simulator_rest_rate": 1_000_000, "simulator_rest_burst": 1_000_000}

Message = dict[str, Any]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def free_ports() -> dict[str, int]:
    """Settings of two free ports."""
    return {"simulator_ws_port": free_port(), "simulator_rest_port": free_port()}


def command(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m simulator` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=REPOSITORY,
        env=_environment(settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


class Process:
    """`python -m simulator` with settings of its own, restartable over the same folder."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.ws_port, self.rest_port = free_port(), free_port()
        self._settings = {
            "simulator_dir": folder,
            "simulator_ws_port": self.ws_port,
            "simulator_rest_port": self.rest_port,
            "simulator_rate": 0,
            **settings,
        }
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> Self:
        """Start it; it takes a moment until it answers."""
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "simulator"],
            cwd=REPOSITORY,
            env=_environment(self._settings),
            stderr=subprocess.DEVNULL,
        )
        return self

    def kill(self) -> None:
        """kill -9."""
        assert self._popen is not None
        self._popen.kill()
        self._popen.wait(DEADLINE_SECONDS)

    def terminate(self) -> tuple[int, float]:
        """SIGTERM; exit status and seconds it took."""
        assert self._popen is not None
        started = time.monotonic()
        self._popen.send_signal(signal.SIGTERM)
        return self._popen.wait(DEADLINE_SECONDS), time.monotonic() - started


class Simulator:
    """A simulator process seen from outside: its feed's address, REST, truth and control."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.folder = process.folder
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{process.rest_port}")

    @property
    def feed_url(self) -> str:
        """Address of the feed."""
        return f"ws://127.0.0.1:{self.process.ws_port}"

    async def start(self) -> None:
        """Start the process again and wait until it answers."""
        self.process.start()
        await self.ready()

    async def ready(self) -> Self:
        """Wait until it answers."""
        await eventually(self._answers)
        return self

    async def get(self, path: str, **parameters: object) -> Any:
        """JSON of a 200 answer."""
        async with self.session.get(path, params={name: str(value) for name, value in parameters.items()}) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def truth(self, product_id: str) -> list[Message]:
        """Every trade of a product."""
        async with self.session.get("/truth/trades", params={"product_id": product_id}) as response:
            assert response.status == 200
            return [json.loads(line) for line in (await response.text()).splitlines()]

    async def inject(self, kind: str, **members: object) -> Message:
        """Post a fault."""
        async with self.session.post("/control/faults", json={"kind": kind, **members}) as response:
            assert response.status in (200, 201), await response.text()
            injected: Message = await response.json()
            return injected

    async def burst(self, trades: int, product_id: str = "BTC-USD") -> list[int]:
        """Make trades in one microsecond; their ids."""
        made = await self.inject("burst", product_id=product_id, trades=trades)
        return list(range(made["first_trade_id"], made["last_trade_id"] + 1))

    async def sent(self, connection: int) -> list[Message]:
        """Journal of the frames sent to a connection."""
        async with self.session.get("/sent", params={"connection": str(connection)}) as response:
            assert response.status == 200, await response.text()
            return [json.loads(line) for line in (await response.text()).splitlines()]

    async def _answers(self) -> bool:
        assert self.process.is_running, "the simulator ended at once"
        try:
            async with self.session.get("/healthz") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False


class Client:
    """A client of the feed that keeps every frame it received."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.forget()

    def forget(self) -> None:
        """Forget what was received so far."""
        self.frames: list[str | bytes] = []
        self.messages: list[Message] = []
        """The frames that are JSON, decoded."""

    def of_type(self, *types: str) -> list[Message]:
        """Messages of these types so far."""
        return [message for message in self.messages if message["type"] in types]

    async def subscribe(
        self, *product_ids: str, channels: tuple[str, ...] = ("matches", "ticker", "heartbeat")
    ) -> None:
        """Subscribe; the answers are left to read."""
        await self.say(type="subscribe", product_ids=list(product_ids), channels=list(channels))

    async def say(self, **members: object) -> None:
        """Send a message."""
        await self.websocket.send(json.dumps(members))

    async def receive(self) -> str | bytes:
        """The next frame."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            frame = await self.websocket.recv()
        self.frames.append(frame)
        if (message := _decoded(frame)) is not None:
            self.messages.append(message)
        return frame

    async def until_received(self, enough: Callable[[], bool]) -> None:
        """Read on, if need be, until what was received is enough."""
        while not enough():
            await self.receive()

    async def until_types(self, count: int, *types: str) -> None:
        """Read on until there are this many messages of these types."""
        await self.until_received(lambda: len(self.of_type(*types)) >= count)

    async def until_frames(self, count: int) -> None:
        """Read on until there are this many frames."""
        await self.until_received(lambda: len(self.frames) >= count)

    async def until(self, fits: Callable[[Message], bool]) -> Message:
        """Read on to the first message that fits."""
        while True:
            known = len(self.messages)
            await self.receive()
            if len(self.messages) > known and fits(self.messages[-1]):
                return self.messages[-1]

    async def until_type(self, message_type: str) -> Message:
        """Read on to the first message of a type."""
        return await self.until(lambda message: message["type"] == message_type)

    async def until_match(self, trade_id: int) -> Message:
        """Read on to a match."""
        return await self.until(lambda message: message["type"] == "match" and message["trade_id"] == trade_id)


async def connected(simulator: Simulator, **options: Any) -> Client:
    """Connect to the feed; frames of any size are taken, and frames left unread do not hold up the end of a test."""
    return Client(await connect(simulator.feed_url, max_size=None, close_timeout=0.2, **options))


async def eventually(condition: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until an asynchronous condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


def _decoded(frame: str | bytes) -> Message | None:
    try:
        message: Message = json.loads(frame)
    except ValueError:
        return None
    return message


def _environment(settings: Mapping[str, object]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    return {**own, **{f"PULSE_{name.upper()}": str(value) for name, value in settings.items()}}
