"""`/status` and `/healthz`."""

import json

from aiohttp import web

from simulator.answers import answer
from simulator.hub import Hub
from simulator.instants import Clock, rfc3339
from simulator.source import Source


class Status:
    """Both handlers."""

    def __init__(self, source: Source, hub: Hub) -> None:
        self._source = source
        self._hub = hub
        self._started_at = rfc3339(Clock().now())

    def routes(self) -> list[web.RouteDef]:
        """Not rate limited."""
        return [web.get("/status", self.status), web.get("/healthz", self.healthz)]

    async def status(self, _: web.Request) -> web.Response:
        """What it serves and to whom."""
        body = {
            **self._source.status(),
            "connections": len(self._hub.connections()),
            "connections_opened": self._hub.opened,
            "frames_sent": self._hub.frames_sent,
            "started_at": self._started_at,
        }
        return answer(json.dumps(body))

    async def healthz(self, _: web.Request) -> web.Response:
        """It answers, so it lives."""
        return answer('{"status":"ok"}')
