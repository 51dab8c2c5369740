"""What an exchange and a network can do to a connection: survived, recorded, counted."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import pairwise

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode

from include.config import TransportName
from streamer.connection import ConnectionRate
from streamer.transports import HandshakeRefused
from tests.streamer.support.exchange import Exchange, Handler, heartbeat_frame, match_frame, playing
from tests.streamer.support.running import Running, unused_port
from tests.streamer.support.spool_view import SpoolView, control, frames
from tests.streamer.support.waiting import elapsed, eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture(params=list(TransportName))
def transport_name(request: pytest.FixtureRequest) -> TransportName:
    """Every test of a streamer in this module runs on both transports."""
    name: TransportName = request.param
    return name


def at_first(end: Callable[[ServerConnection], Awaitable[None]]) -> Handler:
    """Play two trades and end the first connection in some way; play two more on every later one, and wait."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        number = len(exchange.connections)
        await exchange.send(connection, match_frame(10 * number))
        await exchange.send(connection, match_frame(10 * number + 1))
        if number == 1:
            await end(connection)
        await connection.wait_closed()

    return play


async def survived(exchange: Exchange, run: Running) -> None:
    """Wait until the second connection's frames are durable."""
    await run.messages(6)
    await run.eventually_ready()
    assert len(exchange.connections) == 2


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 4000])
async def test_close_of_any_code_is_recorded_and_reconnected(
    exchange: Exchange, running: Run, spool: SpoolView, code: int
) -> None:
    """Even a normal close is not the end: the feed has none."""
    exchange.handler = at_first(lambda connection: connection.close(code, "deploy"))
    async with running() as run:
        await survived(exchange, run)
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    ended = control(lines, "pulse_disconnected")[0]
    assert (ended["reason"], ended["code"]) == ("closed", code)
    assert [line.connection_no for line in lines if line.type == "match"] == [1, 1, 2, 2]


async def test_connection_cut_in_the_middle_of_a_frame_keeps_what_was_whole(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """Half a frame is no frame: it is not recorded, what came before it is."""

    async def cut(connection: ServerConnection) -> None:
        whole = Frame(Opcode.TEXT, match_frame(12)).serialize(mask=False)
        connection.transport.write(whole[: len(whole) // 2])
        await connection.drain()
        connection.transport.abort()

    exchange.handler = at_first(cut)
    async with running() as run:
        await survived(exchange, run)
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    ended = control(lines, "pulse_disconnected")[0]
    assert (ended["reason"], ended["code"]) == ("closed", 1006)


async def test_silent_connection_is_given_up(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """A connection that stays open without a word is closed and made again."""
    exchange.handler = at_first(lambda connection: connection.wait_closed())
    async with running(heartbeat_timeout_seconds=0.3) as run:
        await run.messages(6)
    assert control(spool.seal(), "pulse_disconnected")[0]["reason"] == "silent"


async def test_trades_do_not_stand_in_for_heartbeats(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """Where heartbeats were granted, their absence counts, whatever else arrives."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        while True:
            await exchange.send(connection, match_frame(len(exchange.sent)))
            await elapsed(0.01)

    exchange.handler = play
    async with running(heartbeat_timeout_seconds=0.3):
        await eventually(lambda: len(exchange.connections) > 1)
    assert control(spool.seal(), "pulse_disconnected")[0]["reason"] == "silent"


@pytest.mark.parametrize(
    ("channels", "frame"),
    [(("matches",), match_frame(1)), (("matches", "heartbeat"), heartbeat_frame(1))],
    ids=["any frame without heartbeats", "heartbeats"],
)
async def test_feed_that_shows_life_is_left_alone(
    exchange: Exchange, running: Run, channels: tuple[str, ...], frame: bytes
) -> None:
    """Frames within the limit keep a connection, for many times the limit."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        while True:
            await exchange.send(connection, frame)
            await elapsed(0.01)

    exchange.handler = play
    async with running(channels=channels, heartbeat_timeout_seconds=0.2):
        await elapsed(1.0)
    assert len(exchange.connections) == 1


async def test_server_that_never_answers_the_subscription_is_given_up(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """The first frame has a deadline of its own."""

    async def mute(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.subscription(connection)
        await connection.wait_closed()

    exchange.handler = mute
    async with running(first_message_timeout_seconds=0.2):
        await eventually(lambda: len(exchange.connections) > 1)
    assert control(spool.seal(), "pulse_disconnected")[0]["reason"] == "no_answer"


async def test_refused_handshakes_are_tried_again(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """429 and 5xx pass; each refusal is a record with its status."""
    exchange.refusals = [429, 503]
    exchange.handler = playing(match_frame(1))
    async with running() as run:
        await run.messages(2)
        _, metrics = await run.get("/metrics")
    lines = spool.seal()
    refused = control(lines, "pulse_disconnected")[:2]
    assert [(detail["reason"], detail["code"]) for detail in refused] == [("refused", 429), ("refused", 503)]
    assert control(lines, "pulse_connected")[0]["attempt"] == 3
    assert [line.connection_no for line in lines if line.type == "pulse_disconnected"] == [0, 0, 1]
    assert re.search(r'^pulse_streamer_reconnects_total\{cause="refused"\} 2.0$', metrics, re.MULTILINE)


async def test_handshake_refused_for_good_ends_the_session(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """404 does not pass: the streamer says so, in the spool too, and stops."""
    exchange.refusals = [404]
    with pytest.raises(ExceptionGroup) as raised:
        async with running() as run:
            await run.task
    assert raised.group_contains(HandshakeRefused)
    lines = spool.seal()
    assert control(lines, "pulse_disconnected")[0]["code"] == 404
    assert control(lines, "pulse_stopped") == [{"reason": "failed"}]


async def test_oversize_frame_is_refused_and_capture_goes_on(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """A frame over the limit costs the connection, not the session; the record says why."""

    async def send_too_much(connection: ServerConnection) -> None:
        await connection.send(b'{"type":"snapshot","asks":"' + b"x" * 70_000 + b'"}', text=True)

    exchange.handler = at_first(send_too_much)
    async with running(frame_max_bytes=65_536) as run:
        await survived(exchange, run)
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    ended = control(lines, "pulse_disconnected")[0]
    assert (ended["reason"], ended["code"]) == ("frame_too_big", 1009)


async def test_exchange_that_comes_up_late_is_found(running: Run, spool: SpoolView) -> None:
    """Nobody listening is tried again until somebody does."""
    exchange, port = Exchange(), unused_port()
    exchange.handler = playing(match_frame(1))
    async with running(feed_url=f"ws://127.0.0.1:{port}") as run:
        await eventually(lambda: run.streamer.status.last_error.startswith("network"))
        async with exchange.open(port):
            await run.messages(2)
    assert frames(spool.seal()) == exchange.sent


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept TCP and say nothing."""
    await reader.read()
    writer.close()


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with what is no HTTP, as behind a restarting proxy."""
    writer.write(b"busy\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(("server", "reason"), [(hang, "timeout"), (babble, "handshake")])
async def test_handshake_that_fails_is_tried_again(
    running: Run, spool: SpoolView, server: Callable[..., Awaitable[None]], reason: str
) -> None:
    """A server that hangs is given up after the connect timeout, one that speaks no HTTP at once."""
    listener = await asyncio.start_server(server, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, running(feed_url=url, connect_timeout_seconds=0.1) as run:
        await eventually(lambda: run.streamer.status.last_error)
    assert {detail["reason"] for detail in control(spool.seal(), "pulse_disconnected")} == {reason}


async def test_attempts_are_counted_until_data_arrive(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """An acknowledgement, an error or a malformed frame does not prove that the feed works."""
    only = [b'{"type":"error","message":"Failed to subscribe"}', b"{torn", match_frame(1)]

    async def hang_up(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        if only:
            await exchange.send(connection, only.pop(0))
            await connection.close(1012)
        await connection.wait_closed()

    exchange.handler = hang_up
    async with running() as run:
        await run.messages(7)
    assert [detail["attempt"] for detail in control(spool.seal(), "pulse_connected")] == [1, 2, 3, 1]


async def test_attempts_are_spaced_over_all_connections() -> None:
    """Whoever asks for a turn gets it no sooner than the interval after the one before."""
    rate = ConnectionRate(0.1)
    loop = asyncio.get_running_loop()
    turns: list[float] = []

    async def take_turn() -> None:
        await rate.wait()
        turns.append(loop.time())

    await asyncio.gather(*(take_turn() for _ in range(4)))
    assert all(later - earlier > 0.095 for earlier, later in pairwise(turns))
