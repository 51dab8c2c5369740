"""What every transport does, and the errors it raises.

    TransportError
    ├── HandshakeRefused   another HTTP status than 101
    ├── HandshakeBroken    no WebSocket handshake at all
    └── ConnectionEnded    an open connection ended; has the close code

What the network itself says (OSError, TimeoutError) is passed on. tests/streamer/test_transports.py is the contract of
all transports.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

from streamer import __version__

USER_AGENT: Final = f"coinbase-market-pulse/{__version__}"

#: Wait for the peer's half of the closing handshake, in seconds. Short: what is left to say is not recorded anyway.
CLOSE_TIMEOUT_SECONDS: Final = 0.5

#: A connection that holds so many frames which nobody has received yet does not read on.
HELD_FRAMES: Final = 16

#: Close codes of RFC 6455.
NO_CODE: Final = 1005
ABNORMAL_CLOSURE: Final = 1006
MESSAGE_TOO_BIG: Final = 1009


class TransportError(Exception):
    """A connection could not be opened, or it ended."""


class HandshakeRefused(TransportError):
    """The server answered the handshake with another HTTP status than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered HTTP {status} to the WebSocket handshake")
        self.status = status


class HandshakeBroken(TransportError):
    """The server's answer to the handshake is no WebSocket handshake, or broke off."""


class ConnectionEnded(TransportError):
    """An open connection ended. `code` is the close code of RFC 6455, 1006 when TCP broke off without one."""

    def __init__(self, code: int, text: str, *, frame_too_big: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.frame_too_big = frame_too_big


class Close(NamedTuple):
    """One half of a closing handshake."""

    code: int
    reason: str


def ended(received: Close | None, sent: Close | None, *, sent_in_answer: bool) -> ConnectionEnded:
    """The error for an end with these close frames. Who closed first decides; `sent_in_answer`: that was the peer."""
    if sent is not None and not sent_in_answer:
        text = f"closed by us with code {sent.code}: {sent.reason}"
        return ConnectionEnded(sent.code, text, frame_too_big=sent.code == MESSAGE_TOO_BIG)
    if received is not None:
        return ConnectionEnded(received.code, f"closed by the server with code {received.code}: {received.reason}")
    return ConnectionEnded(ABNORMAL_CLOSURE, "the connection broke off without a close frame")


#: Takes whole messages, at least one, undecoded, in order; whether it takes more. Must not wait for anything.
Deliver = Callable[[Sequence[bytes]], bool]


class Connection(NamedTuple):
    """An open connection."""

    receive: Callable[[Deliver], Awaitable[None]]
    """Deliver messages as they are read until `deliver` wants no more, then return. It may be called from within the
    transport, without a task being woken for it; what it raises is raised here. Every message is delivered once: one
    call goes on where the last one returned or was cancelled. Raises ConnectionEnded after the last message.
    While nobody receives, no more than HELD_FRAMES messages and a read buffer are held, and TCP slows the peer down."""

    send: Callable[[str], Awaitable[None]]


class Transport(Protocol):
    """Opens connections; leaving the context closes one. Its errors are TransportError or OSError, inside it too."""

    def __call__(
        self, url: str, *, timeout_seconds: float, frame_max_bytes: int
    ) -> AbstractAsyncContextManager[Connection]:
        """Connect within `timeout_seconds` (TCP, TLS and handshake together; raises TimeoutError).

        permessage-deflate is offered. A message over `frame_max_bytes`, uncompressed, ends the connection. Pings are
        answered, but none are sent: the watchdog judges the feed by its data, and a pong that waits behind frames we do
        not read while the disk is slow must not end the connection.
        """
