"""The transport on picows: frames are parsed in C, and what one read brought is delivered at once, without a task.

The listener interface is used rather than the library's imitation of `websockets`: that one hands on frame by frame,
also those that follow one it refused, and fails an assertion when the server hangs up during the handshake.
"""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

from picows import (
    WSCloseCode,
    WSFrame,
    WSHandshakeError,
    WSInvalidURL,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSProtocolError,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    ws_connect,
)
from python_socks import ProxyError
from websockets.exceptions import InvalidHandshake, PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.headers import parse_extension
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from .protocol import (
    CLOSE_TIMEOUT_SECONDS,
    HELD_FRAMES,
    NO_CODE,
    USER_AGENT,
    Close,
    Connection,
    ConnectionEnded,
    Deliver,
    HandshakeBroken,
    HandshakeRefused,
    ended,
)

#: About two hundred messages. More at once costs memory, less costs time.
READ_BYTES: Final = 64 * 1024

#: Looking a member up in its enumeration costs as much as the rest of a frame's handling.
_TEXT: Final = WSMsgType.TEXT

_DEFLATE_OFFER: Final = "permessage-deflate; client_max_window_bits"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([0-9]{3})\b")

#: What the library logs of connections is in control records already.
_library_log = logging.getLogger("picows.client")
_library_log.setLevel(logging.CRITICAL)


@asynccontextmanager
async def picows_transport(url: str, *, timeout_seconds: float, frame_max_bytes: int) -> AsyncIterator[Connection]:
    """A Transport."""
    listener = await _connect(url, timeout_seconds, frame_max_bytes)
    try:
        yield Connection(listener.receive, listener.send)
    finally:
        await listener.close()


async def _connect(url: str, timeout_seconds: float, frame_max_bytes: int) -> "_Listener":
    socket_ = _Socket()

    def listen(_request: WSUpgradeRequest, response: WSUpgradeResponse) -> _Listener:
        return _Listener(_negotiated(response), frame_max_bytes)

    try:
        async with asyncio.timeout(timeout_seconds):
            _, listener = await ws_connect(
                listen,
                url,
                websocket_handshake_timeout=None,
                logger_name=_library_log,
                max_frame_size=frame_max_bytes,
                extra_headers={"User-Agent": USER_AGENT, "Sec-WebSocket-Extensions": _DEFLATE_OFFER},
                proxy=get_proxy(parse_uri(url)),
                socket_factory=socket_.connect,
            )
    except WSHandshakeError as error:
        raise _handshake_error(error) from error
    except (InvalidHandshake, WSInvalidURL, ProxyError) as error:
        raise HandshakeBroken(f"WebSocket handshake failed: {error}") from error
    except BaseException:
        socket_.hang_up()
        raise
    if not isinstance(listener, _Listener):
        raise HandshakeBroken("WebSocket handshake failed: the server hung up")
    return listener


def _handshake_error(error: WSHandshakeError) -> HandshakeRefused | HandshakeBroken:
    if error.response is not None and error.response.status != 101:
        return HandshakeRefused(int(error.response.status))
    # The library knows the registered statuses only; proxies in front of an exchange answer with others, as 52x.
    status = _STATUS_LINE.match(error.raw_header or b"")
    if status is not None and status[1] != b"101":
        return HandshakeRefused(int(status[1]))
    return HandshakeBroken(f"WebSocket handshake failed: {error}")


def _negotiated(response: WSUpgradeResponse) -> PerMessageDeflate | None:
    header = response.headers.get("Sec-WebSocket-Extensions")
    if header is None:
        return None
    match parse_extension(header):
        case [("permessage-deflate", parameters)]:
            factory = ClientPerMessageDeflateFactory(client_max_window_bits=True)
            return factory.process_response_params(parameters, [])
        case _:
            raise InvalidHandshake(f"extensions nobody asked for: {header}")


class _Socket:
    """The TCP connection, ours because the library leaves it open when it is cancelled during the handshake."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    async def connect(self, url: WSParsedURL) -> socket.socket:
        """Try the host's addresses in turn. Raises the OSError of the last."""
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _, address) in enumerate(addresses, 1):
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            try:
                await loop.sock_connect(self._socket, address)
                break
            except BaseException as error:
                self._socket.close()
                if number == len(addresses) or not isinstance(error, OSError):
                    raise
        assert self._socket is not None
        return self._socket

    def hang_up(self) -> None:
        """Make whoever uses the socket see its end, and close it."""
        if self._socket is not None:
            with suppress(OSError):  # not connected, or closed already
                self._socket.shutdown(socket.SHUT_RDWR)


class _Reads(asyncio.BufferedProtocol):
    """The library's protocol, given no more than READ_BYTES at once; tells the listener when a read is parsed.

    On its own it takes all that the kernel holds, which for a fast feed is megabytes: all of it would become messages
    in memory before the first of them is delivered.
    """

    def __init__(self, library: asyncio.BufferedProtocol, listener: "_Listener") -> None:
        self._library = library
        self._listener = listener
        self.eof_received = library.eof_received  # type: ignore[method-assign]
        self.pause_writing = library.pause_writing  # type: ignore[method-assign]
        self.resume_writing = library.resume_writing  # type: ignore[method-assign]
        self.connection_lost = library.connection_lost  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return memoryview(self._library.get_buffer(sizehint))[:READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Parse a read and deliver what it completed."""
        self._library.buffer_updated(nbytes)
        self._listener.parsed()


class _Listener(WSListener):
    """Gathers the messages of a read and delivers them; while nobody receives, it holds them."""

    def __init__(self, deflate: PerMessageDeflate | None, message_max_bytes: int) -> None:
        self._deflate = deflate
        self._message_max_bytes = message_max_bytes
        self._loop = asyncio.get_running_loop()
        self._messages: list[bytes] = []
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        # While somebody receives: where to, and what wakes them (with whether they want more).
        self._deliver: Deliver | None = None
        self._waiter: asyncio.Future[bool] = self._loop.create_future()
        self._paused = False
        self._refuses = False
        self._transport: WSTransport

    # ------------------------------------------------- called by the library

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self._transport = transport
        asyncio_transport = transport.underlying_transport
        library = cast(asyncio.BufferedProtocol, asyncio_transport.get_protocol())
        asyncio_transport.set_protocol(_Reads(library, self))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame, valid only during the call. Raises WSProtocolError, which ends the connection."""
        kind = frame.msg_type
        # The library checks the size too, and then delivers the frame all the same if the rest of it comes soon.
        fits = frame.payload_size <= self._message_max_bytes
        if kind is _TEXT and frame.fin and fits and not (frame.rsv1 or self._fragments or self._refuses):
            self._messages.append(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            # An answer needs a code, also to a close without one.
            transport.send_close(frame.get_close_code() if frame.payload_size else WSCloseCode.OK)
            transport.disconnect()
        elif not (self._refuses or kind is WSMsgType.PONG):
            # After it was told, or decided itself, to close the library goes on parsing for a moment: that is refused.
            self._take_unusual(kind, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        """The connection has ended; receive() finds that out."""
        if not self._waiter.done():
            self._waiter.set_result(True)

    def parsed(self) -> None:
        """All frames of a read were taken."""
        if not self._messages:
            return
        if self._deliver is None or self._waiter.done():
            if len(self._messages) >= HELD_FRAMES and not self._paused:
                self._paused = True
                self._transport.underlying_transport.pause_reading()
            return
        messages, self._messages = self._messages, []
        try:
            if not self._deliver(messages):
                self._waiter.set_result(False)
        except BaseException as error:  # whatever it is, it is raised where the messages are received
            self._waiter.set_exception(error)

    def _take_unusual(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Binary, compressed, fragmented or too big. Raises WSProtocolError."""
        if (kind is WSMsgType.CONTINUATION) is not bool(self._fragments):
            raise self._refusal(WSCloseCode.PROTOCOL_ERROR, "fragments out of order")
        if frame.rsv1 and self._deflate is None:
            raise self._refusal(WSCloseCode.PROTOCOL_ERROR, "compressed, but that was not agreed")
        try:
            payload = self._payload(kind, frame)
        except PayloadTooBig:
            raise self._refusal(WSCloseCode.MESSAGE_TOO_BIG, "the message is too big") from None
        except ProtocolError as error:
            raise self._refusal(WSCloseCode.PROTOCOL_ERROR, str(error)) from error
        self._fragments.append(payload)
        self._fragments_bytes += len(payload)
        if frame.fin:
            self._messages.append(b"".join(self._fragments))
            self._fragments = []
            self._fragments_bytes = 0

    def _payload(self, kind: WSMsgType, frame: WSFrame) -> bytes:
        room = self._message_max_bytes - self._fragments_bytes
        payload = frame.get_payload_as_bytes()
        if self._deflate is not None:
            compressed = Frame(Opcode(kind.value), payload, frame.fin, frame.rsv1)
            payload = bytes(self._deflate.decode(compressed, max_size=room).data)
        if len(payload) > room:
            raise PayloadTooBig(len(payload), room)
        return payload

    def _refusal(self, code: WSCloseCode, text: str) -> WSProtocolError:
        self._refuses = True
        return WSProtocolError(code, text)

    # ------------------------------------------------------- called by us

    async def receive(self, deliver: Deliver) -> None:
        """See Connection."""
        goes_on = True
        while goes_on:
            if self._messages:
                messages, self._messages = self._messages, []
                goes_on = deliver(messages)
            elif self._transport.is_disconnected:
                raise await self._end()
            else:
                goes_on = await self._delivering(deliver)

    async def _delivering(self, deliver: Deliver) -> bool:
        """Deliver what is read until the connection ends, or until no more is wanted, which is False."""
        self._waiter = self._loop.create_future()
        self._deliver = deliver
        if self._paused:
            self._paused = False
            self._transport.underlying_transport.resume_reading()
        try:
            return await self._waiter
        finally:
            self._deliver = None

    async def send(self, message: str) -> None:
        """Send a text message. Raises ConnectionEnded."""
        if self._transport.is_disconnected or self._transport.is_close_frame_sent:
            raise await self._end()
        self._transport.send(WSMsgType.TEXT, message)

    async def close(self) -> None:
        """Close in order, or by force after CLOSE_TIMEOUT_SECONDS."""
        transport = self._transport
        if transport.is_disconnected:
            return
        self._refuses = True
        transport.send_close(WSCloseCode.OK)
        transport.underlying_transport.resume_reading()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._disconnected()
        except TimeoutError:
            transport.disconnect(graceful=False)
            await self._disconnected()

    async def _disconnected(self) -> None:
        """Wait for the end. Raises what went wrong in this class, but not what the peer did."""
        with suppress(WSProtocolError):
            await self._transport.wait_disconnected()

    async def _end(self) -> ConnectionEnded:
        await self._disconnected()
        handshake: Any = self._transport.close_handshake  # None without any close frame, whatever its type says
        if handshake is None:
            return ended(None, None, sent_in_answer=False)
        return ended(_close(handshake.recv), _close(handshake.sent), sent_in_answer=handshake.recv_then_sent)


def _close(info: Any) -> Close | None:
    return Close(int(info.code) or NO_CODE, info.reason or "") if info else None
