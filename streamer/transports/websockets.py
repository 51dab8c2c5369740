"""The transport on the `websockets` library: pure Python, the default."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect
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

    async def receive(deliver: Deliver) -> None:
        # The library does not say whether more is there; but when it is, receiving it does not suspend.
        while deliver((await client.recv(decode=False),)):
            pass

    try:
        yield Connection(receive, client.send)
    except ConnectionClosed as error:
        raise _ended(error) from error
    finally:
        await client.close()


def _ended(error: ConnectionClosed) -> ConnectionEnded:
    return ended(_close(error.rcvd), _close(error.sent), sent_in_answer=bool(error.rcvd_then_sent))


def _close(frame: Any) -> Close | None:
    return Close(int(frame.code), frame.reason) if frame else None
