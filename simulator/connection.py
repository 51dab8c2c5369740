"""One client of the feed: what it subscribed, what it gets, and how it can be ill-treated."""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from simulator.frames import Frame, Topic
from simulator.sent_journal import SentJournal

_LOG = logging.getLogger(__name__)

#: A reader that far behind is disconnected, as the exchange does with slow consumers.
_MAX_BACKLOG_BYTES = 64 * 1024 * 1024

_DIRECT: Topic = ("", "")


class Connection:
    """Frames are handed over in batches and written with one call each; nothing here waits but `drain`."""

    def __init__(self, number: int, websocket: ServerConnection, journal: SentJournal | None) -> None:
        self.number = number
        self.topics: set[Topic] = set()
        self.is_subscribed = False
        self.frames_sent = 0
        self._websocket = websocket
        self._journal = journal
        self._stalled_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a frame can still be sent."""
        return self._websocket.protocol.state is State.OPEN and not self._websocket.transport.is_closing()

    def answer(self, messages: Sequence[bytes]) -> None:
        """Send text frames to this connection alone."""
        self.send([Frame(_DIRECT, "", None, message) for message in messages])

    def deliver(self, frames: Sequence[Frame]) -> None:
        """Send what is subscribed and meant for this connection."""
        topics, number = self.topics, self.number
        self.send(
            [
                f
                for f in frames
                if f.topic in topics and (f.only is None or f.only == number) and (f.but is None or f.but != number)
            ]
        )

    def send(self, frames: Sequence[Frame]) -> None:
        """Send frames in order.

        A stalled connection stays silent: its frames are lost, as they are when a real feed falls silent.
        """
        if not frames or not self.is_open or self._is_stalled():
            return
        sent = []
        protocol = self._websocket.protocol
        for frame in frames:
            sent.append(frame)
            if frame.is_cut:
                break
            (protocol.send_text if frame.is_text else protocol.send_binary)(frame.data)
        if self._journal is not None:
            self._journal.record(self.number, sent)
        self._websocket.transport.write(b"".join(protocol.data_to_send()))
        self.frames_sent += len(sent)
        if sent[-1].is_cut:
            self.frames_sent -= 1
            self._send_half(sent[-1])
        elif self._websocket.transport.get_write_buffer_size() > _MAX_BACKLOG_BYTES:
            _LOG.warning("connection %d reads too slowly: disconnected", self.number)
            self._websocket.transport.abort()

    async def drain(self) -> None:
        """Wait until the reader has taken most of what was sent, or is gone."""
        if self.is_open:
            with contextlib.suppress(OSError):
                await self._websocket.drain()

    def drop(self, *, reset: bool = False) -> None:
        """End TCP without a closing handshake; `reset` with RST, which also loses what the client had not read."""
        transport = self._websocket.transport
        if reset:
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    async def close(self, code: int, reason: str) -> None:
        """Close in order."""
        await self._websocket.close(code, reason)

    def stall(self, seconds: float | None, *, answer_pings: bool) -> None:
        """Fall silent with the socket open, for a time or for good.

        Without pongs it looks like a half-open connection.
        """
        loop = asyncio.get_running_loop()
        self._stalled_until = float("inf") if seconds is None else loop.time() + seconds
        if not answer_pings:
            self._websocket.transport.pause_reading()
            if seconds is not None:
                loop.call_later(seconds, self._resume_reading)

    def revive(self) -> None:
        """End a stall."""
        self._stalled_until = 0.0
        self._resume_reading()

    def _resume_reading(self) -> None:
        if not self._websocket.transport.is_closing():
            self._websocket.transport.resume_reading()

    def _is_stalled(self) -> bool:
        return self._stalled_until > 0 and asyncio.get_running_loop().time() < self._stalled_until

    def _send_half(self, frame: Frame) -> None:
        self._websocket.protocol.send_text(frame.data)
        written = b"".join(self._websocket.protocol.data_to_send())
        self._websocket.transport.write(written[: len(written) // 2])
        self.drop()
