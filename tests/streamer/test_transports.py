"""What every transport does; each test runs on each of them, against a real server."""

import asyncio
import builtins
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from include.config import ConfigError, TransportName
from streamer.transports import (
    Connection,
    ConnectionEnded,
    HandshakeBroken,
    HandshakeRefused,
    Transport,
    transport_named,
)
from tests.streamer.support.exchange import match_frame
from tests.streamer.support.waiting import elapsed, eventually

MAX_BYTES = 2_000_000
DEADLINE_SECONDS = 20.0

Serve = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture(params=list(TransportName))
def transport(request: pytest.FixtureRequest) -> Transport:
    """Each transport in turn."""
    return transport_named(request.param)


def connecting(
    transport: Transport, url: str, *, timeout_seconds: float = DEADLINE_SECONDS, frame_max_bytes: int = MAX_BYTES
) -> AbstractAsyncContextManager[Connection]:
    """A connection of the transport, with limits that do not matter."""
    return transport(url, timeout_seconds=timeout_seconds, frame_max_bytes=frame_max_bytes)


def serving(handler: Serve, **options: Any) -> AbstractAsyncContextManager[Server]:
    """A server on a port of its own that hands every connection to `handler`."""

    async def handle(connection: ServerConnection) -> None:
        try:
            await handler(connection)
        except ConnectionClosed:
            return

    return serve(handle, "127.0.0.1", 0, max_size=None, **options)


def url_of(server: asyncio.Server | Server) -> str:
    """Where a server listens."""
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}"


class Inbox:
    """Takes messages until it has so many, at least."""

    def __init__(self, number: float = math.inf) -> None:
        self.number = number
        self.messages: list[bytes] = []

    def deliver(self, messages: Sequence[bytes]) -> bool:
        """A Deliver."""
        assert messages
        self.messages += messages
        return len(self.messages) < self.number


async def received(connection: Connection, number: int) -> list[bytes]:
    """Receive so many messages."""
    inbox = Inbox(number)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await connection.receive(inbox.deliver)
    return inbox.messages


async def ending(
    transport: Transport, handler: Serve, *, compression: str | None = "deflate", frame_max_bytes: int = MAX_BYTES
) -> tuple[list[bytes], ConnectionEnded]:
    """What a server's connection brings before it ends, and its end."""
    inbox = Inbox()
    async with asyncio.timeout(DEADLINE_SECONDS), serving(handler, compression=compression) as server:
        with pytest.raises(ConnectionEnded) as raised:
            async with connecting(transport, url_of(server), frame_max_bytes=frame_max_bytes) as connection:
                await connection.receive(inbox.deliver)
    return inbox.messages, raised.value


def write(connection: ServerConnection, *frames: Frame) -> None:
    """Put frames on the wire as they are, in one piece."""
    connection.transport.write(b"".join(frame.serialize(mask=False) for frame in frames))


async def test_messages_arrive_byte_for_byte_and_in_order(transport: Transport) -> None:
    """Text and binary, empty, not UTF-8, white space and 1.2 MB: as sent."""
    sent = [
        match_frame(1),
        b"",
        b' {"type":"x",\n"y":1} ',
        '{"ключ":"значение"}'.encode(),
        b'{"type":"snapshot","asks":"' + b"x" * 1_200_000 + b'"}',
        *(match_frame(number) for number in range(2, 500)),
    ]

    async def send(connection: ServerConnection) -> None:
        for message in sent:
            await connection.send(message, text=True)
        await connection.send(b"\xff\x00", text=False)
        await connection.wait_closed()

    async with serving(send) as server, connecting(transport, url_of(server)) as connection:
        assert await received(connection, len(sent) + 1) == [*sent, b"\xff\x00"]


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_fragments_are_put_together(transport: Transport, compression: str | None) -> None:
    """A message in pieces is one message, also with a ping between them, also compressed."""

    async def send(connection: ServerConnection) -> None:
        await connection.send(['{"type":', "", '"match"', "}"])
        await connection.send(match_frame(1), text=True)
        await connection.wait_closed()

    async with serving(send, compression=compression) as server, connecting(transport, url_of(server)) as connection:
        assert await received(connection, 2) == [b'{"type":"match"}', match_frame(1)]


async def test_ping_between_fragments_is_answered_and_leaves_no_trace(transport: Transport) -> None:
    """A ping is answered by itself and is no message."""
    pong = asyncio.Event()

    async def send(connection: ServerConnection) -> None:
        write(connection, Frame(Opcode.TEXT, b"{", fin=False), Frame(Opcode.PONG, b"unasked"))
        answer = await connection.ping()
        write(connection, Frame(Opcode.CONT, b"}"))
        await answer
        pong.set()
        await connection.wait_closed()

    async with serving(send, compression=None) as server, connecting(transport, url_of(server)) as connection:
        assert await received(connection, 1) == [b"{}"]
        async with asyncio.timeout(DEADLINE_SECONDS):
            await pong.wait()


async def test_messages_are_sent_as_text(transport: Transport) -> None:
    """What we send arrives."""
    arrived: list[str | bytes] = []

    async def receive(connection: ServerConnection) -> None:
        arrived.append(await connection.recv())
        await connection.wait_closed()

    async with serving(receive) as server, connecting(transport, url_of(server)) as connection:
        await connection.send('{"type":"subscribe","product_ids":["Ω"]}')
        await eventually(lambda: arrived)
    assert arrived == ['{"type":"subscribe","product_ids":["Ω"]}']


async def test_deflate_and_our_name_are_in_the_handshake(transport: Transport) -> None:
    """permessage-deflate is offered and used; the server learns who asks."""
    servers: list[ServerConnection] = []

    async def send(connection: ServerConnection) -> None:
        servers.append(connection)
        for number in range(100):
            await connection.send(match_frame(number), text=True)
        await connection.wait_closed()

    async with serving(send) as server, connecting(transport, url_of(server)) as connection:
        assert await received(connection, 100) == [match_frame(number) for number in range(100)]
    request, response = servers[0].request, servers[0].response
    assert request is not None
    assert response is not None
    assert request.headers["User-Agent"].startswith("coinbase-market-pulse/")
    assert response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4000, 4999])
async def test_close_code_of_the_server_is_told(transport: Transport, code: int) -> None:
    """Everything that came before the close is received first."""

    async def send(connection: ServerConnection) -> None:
        for number in range(100):
            await connection.send(match_frame(number), text=True)
        await connection.close(code, "deploy")

    messages, end = await ending(transport, send)
    assert messages == [match_frame(number) for number in range(100)]
    assert (end.code, end.frame_too_big) == (code, False)
    assert "deploy" in str(end)


async def test_close_without_a_code_is_1005(transport: Transport) -> None:
    """An empty close frame is the code that RFC 6455 reserves for it."""

    async def send(connection: ServerConnection) -> None:
        write(connection, Frame(Opcode.CLOSE, b""))
        await connection.wait_closed()
        answers.append(connection.close_code)

    answers: list[int | None] = []
    assert (await ending(transport, send))[1].code == 1005
    assert answers[0] in {1000, 1005}


async def test_broken_tcp_is_1006(transport: Transport) -> None:
    """What was whole is received; half a frame is not."""

    async def cut(connection: ServerConnection) -> None:
        whole = Frame(Opcode.TEXT, match_frame(1)).serialize(mask=False)
        connection.transport.write(whole + whole[: len(whole) // 2])
        connection.transport.close()

    messages, end = await ending(transport, cut)
    assert (messages, end.code, end.frame_too_big) == ([match_frame(1)], 1006, False)


def whole(size: int) -> list[Frame]:
    """A message in one frame."""
    return [Frame(Opcode.TEXT, b"x" * size)]


def fragmented(size: int) -> list[Frame]:
    """A message in fragments, none of which is large."""
    count, last = divmod(size, 1000)
    return [
        Frame(Opcode.TEXT, b"", fin=False),
        *[Frame(Opcode.CONT, b"x" * 1000, fin=False)] * count,
        Frame(Opcode.CONT, b"x" * last),
    ]


@pytest.mark.parametrize("message", [whole, fragmented])
async def test_message_over_the_limit_ends_the_connection(
    transport: Transport, message: Callable[[int], list[Frame]]
) -> None:
    """A message of just the limit passes; of one too large nothing is received, nor of what follows it."""

    async def send(connection: ServerConnection) -> None:
        write(connection, *message(70_000), *message(70_001), Frame(Opcode.TEXT, match_frame(1)))
        await connection.wait_closed()

    messages, end = await ending(transport, send, frame_max_bytes=70_000)
    assert messages == [b"x" * 70_000]
    assert (end.code, end.frame_too_big) == (1009, True)


async def test_compressed_message_over_the_limit_is_not_inflated(transport: Transport) -> None:
    """The limit is that of the message, not of what is on the wire."""

    async def send(connection: ServerConnection) -> None:
        await connection.send(b"x" * 70_000, text=True)
        await connection.send(b"x" * 70_001, text=True)
        await connection.wait_closed()

    messages, end = await ending(transport, send, frame_max_bytes=70_000)
    assert messages == [b"x" * 70_000]
    assert (end.code, end.frame_too_big) == (1009, True)


@pytest.mark.parametrize(
    "wire",
    [b"\x80\x02{}", b"\x01\x01{\x81\x01}", b"\xc1\x02{}"],
    ids=["continues nothing", "interrupts a message", "compressed unasked"],
)
async def test_broken_protocol_ends_the_connection(transport: Transport, wire: bytes) -> None:
    """A server that breaks the protocol is left with 1002."""

    async def send(connection: ServerConnection) -> None:
        connection.transport.write(wire + Frame(Opcode.TEXT, match_frame(1)).serialize(mask=False))
        await connection.wait_closed()

    messages, end = await ending(transport, send, compression=None)
    assert (messages, end.code) == ([], 1002)


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503, 522])
async def test_refused_handshake_tells_the_status(transport: Transport, status: int) -> None:
    """Also one that is not registered, such as proxies use."""

    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(503, "no\n")
        response.status_code = status
        return response

    async with serving(ServerConnection.wait_closed, process_request=refuse) as server:
        with pytest.raises(HandshakeRefused) as raised:
            async with connecting(transport, url_of(server)):
                pass
    assert raised.value.status == status


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> None:
    """Answer the handshake with some text and hang up."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(text)
    writer.close()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"busy\r\n\r\n",
        b"HTTP/1.1 101 Switching Proto",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: no\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
    ],
    ids=["nothing", "no HTTP", "half of it", "wrong key", "no text"],
)
async def test_answer_that_is_no_handshake_is_told_as_such(transport: Transport, text: bytes) -> None:
    """Whatever a server says instead of a handshake."""
    listener = await asyncio.start_server(partial(answer, text=text), "127.0.0.1", 0)
    async with listener:
        with pytest.raises(HandshakeBroken):
            async with connecting(transport, url_of(listener)):
                pass


@pytest.mark.parametrize("cancelled", [False, True], ids=["timed out", "cancelled"])
async def test_handshake_that_hangs_is_left_and_closed(transport: Transport, cancelled: bool) -> None:
    """After the timeout, or when we do not want it any more; the server sees the end of TCP either way."""
    opened, closed = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.set()
        await reader.read()
        closed.set()
        writer.close()

    async def connect(timeout_seconds: float) -> None:
        async with connecting(transport, url_of(listener), timeout_seconds=timeout_seconds):
            pass

    listener = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with listener, asyncio.timeout(DEADLINE_SECONDS):
        if cancelled:
            task = asyncio.create_task(connect(DEADLINE_SECONDS))
            await opened.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(TimeoutError):
                await connect(0.1)
        await closed.wait()


async def test_errors_of_the_network_are_passed_on(transport: Transport) -> None:
    """Nobody listens; the name does not resolve."""
    async with serving(ServerConnection.wait_closed) as server:
        url = url_of(server)
    for unreachable in (url, "ws://name.invalid"):
        with pytest.raises(OSError, match=r".+"):
            async with connecting(transport, unreachable):
                pass


async def test_half_open_connection_stays_and_leaving_it_takes_no_answer(transport: Transport) -> None:
    """A peer that vanished without a word says nothing; closing does not wait for it."""
    gone = asyncio.Event()

    async def vanish(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await gone.wait()
        connection.transport.abort()

    loop = asyncio.get_running_loop()
    async with serving(vanish) as server:
        async with connecting(transport, url_of(server)) as connection:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.receive(Inbox().deliver)
            left_at = loop.time()
        assert loop.time() - left_at < DEADLINE_SECONDS / 2
        gone.set()


@pytest.mark.parametrize("number", [1, math.inf], ids=["one by one", "all at once"])
async def test_receive_that_is_cancelled_loses_nothing(transport: Transport, number: float) -> None:
    """Cancelled at any moment, also in the middle of a message, the next call goes on where it was."""
    count = 300

    async def send(connection: ServerConnection) -> None:
        for number in range(count):
            frame = match_frame(number)
            write(connection, Frame(Opcode.TEXT, frame[:50], fin=False))
            await asyncio.sleep(0)
            write(connection, Frame(Opcode.CONT, frame[50:]))
            await asyncio.sleep(0)
        await connection.wait_closed()

    messages: list[bytes] = []
    async with serving(send, compression=None) as server, connecting(transport, url_of(server)) as connection:
        async with asyncio.timeout(DEADLINE_SECONDS):
            for attempt in itertools.count():
                if len(messages) == count:
                    break
                inbox = Inbox(number)
                task = asyncio.ensure_future(connection.receive(inbox.deliver))
                for _ in range(attempt % 4):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                messages += inbox.messages
    assert messages == [match_frame(number) for number in range(count)]


async def test_peer_is_slowed_down_while_nobody_receives(transport: Transport) -> None:
    """Without receive() the peer cannot go on sending: TCP holds it. Afterwards everything arrives."""
    count, message = 5_000, b"x" * 10_000
    sent = 0

    async def pour(connection: ServerConnection) -> None:
        nonlocal sent
        for _ in range(count):
            await connection.send(message, text=True)
            sent += 1
        await connection.wait_closed()

    async with serving(pour, compression=None) as server, connecting(transport, url_of(server)) as connection:
        before = -1
        while before != sent:
            before = sent
            await elapsed(0.3)
        # What fits into the kernel's buffers of both sides, and no more than a few of these in ours.
        assert 0 < sent < count / 2
        first = await received(connection, 1)
        assert len(first) < count / 10
        assert set(await received(connection, sent - len(first))) == {message}
        await eventually(lambda: sent > before + 100)


async def test_receive_returns_when_no_more_is_wanted_and_goes_on_from_there(transport: Transport) -> None:
    """However often a receiver stops, it gets every message once, in order, and then the end."""
    count = 500

    async def send(connection: ServerConnection) -> None:
        write(connection, *(Frame(Opcode.TEXT, match_frame(number)) for number in range(count)))
        await connection.close(1001)

    messages: list[bytes] = []

    async def receive_by_and_by(url: str) -> None:
        async with connecting(transport, url) as connection:
            while True:
                messages.extend(await received(connection, 1))

    async with asyncio.timeout(DEADLINE_SECONDS), serving(send, compression=None) as server:
        with pytest.raises(ConnectionEnded, match="1001"):
            await receive_by_and_by(url_of(server))
    assert messages == [match_frame(number) for number in range(count)]


async def test_receive_returns_in_the_middle_of_a_message_and_goes_on_from_there(transport: Transport) -> None:
    """What has come of the next message when a receiver stops is not lost."""
    stopped = asyncio.Event()
    frame = match_frame(2)

    async def send(connection: ServerConnection) -> None:
        write(connection, Frame(Opcode.TEXT, match_frame(1)), Frame(Opcode.TEXT, frame[:50], fin=False))
        await stopped.wait()
        write(connection, Frame(Opcode.CONT, frame[50:]))
        await connection.wait_closed()

    async with serving(send, compression=None) as server, connecting(transport, url_of(server)) as connection:
        assert await received(connection, 1) == [match_frame(1)]
        stopped.set()
        assert await received(connection, 1) == [frame]


async def test_what_one_read_brings_is_not_delivered_one_by_one(transport: Transport) -> None:
    """That costs more CPU: docs/streamer-performance.md."""
    count = 64

    async def send(connection: ServerConnection) -> None:
        write(connection, *(Frame(Opcode.TEXT, match_frame(number)) for number in range(count)))
        await connection.wait_closed()

    deliveries: list[int] = []
    inbox = Inbox(count)

    def deliver(messages: Sequence[bytes]) -> bool:
        deliveries.append(len(messages))
        return inbox.deliver(messages)

    async with serving(send, compression=None) as server, connecting(transport, url_of(server)) as connection:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await connection.receive(deliver)
    assert sum(deliveries) == count
    assert len(deliveries) <= 8  # four are needed, and loopback may cut the piece


class Broken(Exception):
    """What a receiver raises that fails."""


async def test_error_of_the_receiver_is_raised_where_it_receives(transport: Transport) -> None:
    """It is neither lost in the library nor taken for the connection's end; the connection can be left as ever."""

    async def send(connection: ServerConnection) -> None:
        await connection.send(match_frame(1), text=True)
        await receiving.wait()
        await connection.send(match_frame(2), text=True)
        await connection.wait_closed()
        codes.append(connection.close_code)

    def fail(messages: Sequence[bytes]) -> bool:
        if match_frame(2) in messages:
            raise Broken
        receiving.set()
        return True

    codes: list[int | None] = []
    receiving = asyncio.Event()
    async with serving(send) as server:
        with pytest.raises(Broken):
            async with asyncio.timeout(DEADLINE_SECONDS), connecting(transport, url_of(server)) as connection:
                await connection.receive(fail)
        await eventually(lambda: codes == [1000])


async def test_connection_that_is_not_read_can_be_left(transport: Transport) -> None:
    """Leaving ends a connection with unread messages, for both sides."""
    ended = asyncio.Event()

    async def pour(connection: ServerConnection) -> None:
        try:
            while True:
                await connection.send(b"x" * 10_000, text=True)
        finally:
            ended.set()

    async with serving(pour, compression=None) as server:
        async with connecting(transport, url_of(server)) as connection:
            await received(connection, 1)
            await elapsed(0.1)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await ended.wait()


def test_transport_without_its_package_is_a_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and how to install what is missing."""
    genuine = builtins.__import__

    def without_picows(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "picows" and not arguments[-1]:
            raise ModuleNotFoundError("No module named 'picows'", name="picows")
        return genuine(name, *arguments)

    monkeypatch.delitem(__import__("sys").modules, "streamer.transports.picows", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_picows)
    with pytest.raises(ConfigError, match=r"PULSE_TRANSPORT=picows.*PULSE_TRANSPORT=picows scripts/bootstrap run"):
        transport_named(TransportName.PICOWS)
