"""The transport on the `websockets` library: pure Python, the default."""

import asyncio
import functools
import types
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxyStatus, InvalidStatus

from .protocol import (
    CLOSE_TIMEOUT_SECONDS,
    HELD_FRAMES,
    USER_AGENT,
    Close,
    Connection,
    ConnectionEnded,
    Deliver,
    HandshakeBroken,
    HandshakeRefused,
    ended,
)


@asynccontextmanager
async def websockets_transport(url: str, *, timeout_seconds: float, frame_max_bytes: int) -> AsyncIterator[Connection]:
    """A Transport."""
    try:
        client = await connect(
            url,
            open_timeout=timeout_seconds,
            close_timeout=CLOSE_TIMEOUT_SECONDS,
            max_size=frame_max_bytes,
            max_queue=HELD_FRAMES,
            user_agent_header=USER_AGENT,
            ping_interval=None,
        )
    except (InvalidStatus, InvalidProxyStatus) as error:
        raise HandshakeRefused(error.response.status_code) from error
    except InvalidHandshake as error:
        raise HandshakeBroken(f"WebSocket handshake failed: {error}") from error

    try:
        yield Connection(functools.partial(_receive, client), client.send)
    except ConnectionClosed as error:
        raise _ended(error) from error
    finally:
        await client.close()


async def _receive(client: ClientConnection, deliver: Deliver) -> None:
    """What one read brought is delivered some at a time, which costs less than one by one. Not all at once: a read of
    compressed messages brings megabytes, and who takes them may want no more after the first.

    The library does not say whether more is there; but when it is, receiving it does not suspend.
    """
    frames: list[bytes] = []
    while True:
        receiving = client.recv(decode=False)
        try:
            awaited = receiving.send(None)
        except StopIteration as received:
            frames.append(received.value)
            if len(frames) == HELD_FRAMES:
                if not deliver(frames):
                    return
                frames = []
            continue
        except ConnectionClosed:
            if frames and not deliver(frames):
                return
            raise
        wanted = False
        try:
            wanted = not frames or deliver(frames)
        finally:
            if not wanted:
                with suppress(asyncio.CancelledError):
                    receiving.throw(asyncio.CancelledError())  # the library keeps the beginning of a message
        if not wanted:
            return
        frames = [await _resumed(receiving, awaited)]


@types.coroutine
def _resumed(receiving: Coroutine[Any, Any, bytes], awaited: Any) -> Generator[Any, Any, bytes]:
    """The result of a coroutine that has been begun by hand and waits for `awaited`."""
    try:
        yield awaited
    except BaseException as error:  # above all a cancellation: it is for the coroutine
        receiving.throw(error)
        raise
    return (yield from receiving.__await__())


def _ended(error: ConnectionClosed) -> ConnectionEnded:
    return ended(_close(error.rcvd), _close(error.sent), sent_in_answer=bool(error.rcvd_then_sent))


def _close(frame: Any) -> Close | None:
    return Close(int(frame.code), frame.reason) if frame else None
