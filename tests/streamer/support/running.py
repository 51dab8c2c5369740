"""A streamer in the test's event loop, and one in a process of its own."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from include.config import StreamerConfig, variable_name
from streamer.app import Streamer
from tests.streamer.support.waiting import DEADLINE_SECONDS, eventually


def unused_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Running:
    """A streamer that runs in this event loop."""

    streamer: Streamer
    stop: asyncio.Event
    task: asyncio.Task[None]
    config: StreamerConfig

    async def messages(self, number: int) -> None:
        """Wait until so many frames were received and all records so far are durable."""
        status = self.streamer.status
        await eventually(lambda: status.traffic.messages >= number and status.writer.all_durable)

    async def get(self, path: str) -> tuple[int, str]:
        """HTTP status and body of an endpoint."""
        url = f"http://{self.config.streamer_host}:{self.config.streamer_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def get_json(self, path: str) -> Any:
        """Body of a JSON endpoint, whatever the HTTP status."""
        return json.loads((await self.get(path))[1])

    async def eventually_ready(self) -> None:
        """Wait until /readyz agrees."""
        await eventually(lambda: not self.streamer.status.not_ready())
        assert (await self.get("/readyz"))[0] == 200

    async def finish(self) -> None:
        """Stop and wait for the end."""
        self.stop.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.task


@dataclass
class Process:
    """A streamer in a process of its own."""

    child: asyncio.subprocess.Process
    config: StreamerConfig

    async def status(self) -> dict[str, Any]:
        """Body of /status; empty while nobody answers."""
        url = f"http://{self.config.streamer_host}:{self.config.streamer_port}/status"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return await response.json()  # type: ignore[no-any-return]
        except aiohttp.ClientError:
            return {}

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until /status fulfils a condition; the status."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not ((status := await self.status()) and condition(status)):
                assert self.child.returncode is None, await self.log()
                await asyncio.sleep(0.01)
            return status

    async def end(self, number: signal.Signals) -> float:
        """Send a signal; seconds until the process was gone."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.child.send_signal(number)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.child.wait()
        return loop.time() - started

    async def log(self) -> str:
        """What the ended process wrote to stderr."""
        assert self.child.stderr is not None
        return (await self.child.stderr.read()).decode()


def environment(config: StreamerConfig) -> dict[str, str]:
    """The environment that makes a process have this config."""
    values = {name: getattr(config, name) for name in config.__struct_fields__}
    texts = {
        variable_name(name): ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
        if value is not None
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    return inherited | texts
