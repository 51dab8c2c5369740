"""All connections of the feed."""

import asyncio
from collections.abc import Iterable, Sequence

from websockets.asyncio.server import ServerConnection

from simulator.connection import Connection
from simulator.frames import Frame
from simulator.sent_journal import SentJournal


class Hub:
    """Numbers connections 1, 2, 3 … and hands frames to those that are open."""

    def __init__(self, journal: SentJournal | None) -> None:
        self.opened = 0
        self._journal = journal
        self._connections: dict[int, Connection] = {}
        self._frames_of_closed = 0
        self._subscribed = asyncio.Event()

    @property
    def frames_sent(self) -> int:
        """Frames sent to all connections since the start."""
        return self._frames_of_closed + sum(connection.frames_sent for connection in self._connections.values())

    def connections(self, numbers: Iterable[int] | None = None) -> list[Connection]:
        """Open connections: all, or those of these numbers."""
        wanted = None if numbers is None else set(numbers)
        return [c for c in self._connections.values() if c.is_open and (wanted is None or c.number in wanted)]

    def subscribed(self) -> list[Connection]:
        """Open connections that subscribed."""
        return [
            connection for connection in self._connections.values() if connection.is_subscribed and connection.is_open
        ]

    def open(self, websocket: ServerConnection) -> Connection:
        """Take in a new connection."""
        self.opened += 1
        connection = Connection(self.opened, websocket, self._journal)
        self._connections[connection.number] = connection
        return connection

    def forget(self, connection: Connection) -> None:
        """A connection ended."""
        del self._connections[connection.number]
        self._frames_of_closed += connection.frames_sent

    def mark_subscribed(self, connection: Connection) -> None:
        """The connection subscribed something; whoever waits for a subscriber goes on."""
        connection.is_subscribed = True
        self._subscribed.set()

    async def wait_for_subscriber(self) -> list[Connection]:
        """Subscribed connections, at least one."""
        while not (connections := self.subscribed()):
            self._subscribed.clear()
            await self._subscribed.wait()
        return connections

    def publish(self, frames: Sequence[Frame]) -> None:
        """Give every connection what it subscribed."""
        for connection in self.subscribed():
            connection.deliver(frames)
