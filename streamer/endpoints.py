"""The HTTP side: /healthz, /readyz, /status for people and supervisors, /metrics for Prometheus."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from include.config import ConfigError
from streamer.status import Status


@asynccontextmanager
async def serving(status: Status, registry: CollectorRegistry, host: str, port: int) -> AsyncIterator[None]:
    """Serve while the block runs. Raises ConfigError when the address cannot be had."""
    endpoints = _Endpoints(status, registry)
    app = web.Application()
    app.router.add_get("/healthz", endpoints.healthz)
    app.router.add_get("/readyz", endpoints.readyz)
    app.router.add_get("/status", endpoints.status)
    app.router.add_get("/metrics", endpoints.metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"PULSE_STREAMER_PORT={port}: another process listens on {host}:{port}; choose a free port"
            ) from error
        raise ConfigError(
            f"PULSE_STREAMER_HOST={host!r}, PULSE_STREAMER_PORT={port}: cannot listen there: {error.strerror}"
        ) from error


class _Endpoints:
    def __init__(self, status: Status, registry: CollectorRegistry) -> None:
        self._status = status
        self._registry = registry

    async def healthz(self, _: web.Request) -> web.Response:
        """200 as long as the event loop turns: a restart would not help a feed or a disk that is down."""
        return _json({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """200 when data flow from the exchange to the disk, else 503 and why not."""
        reasons = self._status.not_ready()
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def status(self, _: web.Request) -> web.Response:
        return _json(self._status.as_json())

    async def metrics(self, _: web.Request) -> web.Response:
        # In a thread: with hundreds of products it takes a while.
        body = await asyncio.to_thread(generate_latest, self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
