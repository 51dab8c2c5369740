"""The WebSocket endpoint."""

import asyncio
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from simulator.active_faults import ActiveFaults
from simulator.connection import Connection
from simulator.faults import RefuseHandshake
from simulator.hub import Hub
from simulator.source import Source

SUBSCRIBE_DEADLINE_SECONDS = 5.0
"""A client that has not subscribed by then is disconnected."""

_POLICY_VIOLATION = 1008


class Feed:
    """Takes clients in, hands their messages to the source, watches the subscribe deadline."""

    def __init__(self, source: Source, hub: Hub, faults: ActiveFaults) -> None:
        self._source = source
        self._hub = hub
        self._faults = faults

    def refuse(self, websocket: ServerConnection, _: Request) -> Response | None:
        """The status of a `refuse_handshake` fault, if one waits."""
        for active in self._faults.active(RefuseHandshake):
            if self._faults.strikes(active):
                status = HTTPStatus(active.fault.status)
                self._faults.hit(active, status=status.value)
                return websocket.respond(status, f"{status.phrase}\n")
        return None

    async def serve(self, websocket: ServerConnection) -> None:
        """One client, until its connection ends."""
        connection = self._hub.open(websocket)
        try:
            async with asyncio.timeout(SUBSCRIBE_DEADLINE_SECONDS) as deadline:
                await self._converse(connection, websocket, deadline)
        except TimeoutError:
            await websocket.close(_POLICY_VIOLATION, "no subscribe within 5 seconds")
        except ConnectionClosed:
            pass  # how a client leaves is its own affair
        finally:
            self._hub.forget(connection)

    async def _converse(self, connection: Connection, websocket: ServerConnection, deadline: asyncio.Timeout) -> None:
        async for message in websocket:
            self._source.receive(connection, message)
            if connection.is_subscribed:
                deadline.reschedule(None)
