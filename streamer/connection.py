"""Keeping the feed connected: what is retried, how soon, and what is written down about it."""

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from include.config import StreamerConfig
from streamer.capture import Capture, NoAnswer
from streamer.feed_status import FeedState, FeedStatus
from streamer.recorder import DiskSlow, NoRoom, Recorder, SpoolFull
from streamer.transports import ConnectionEnded, HandshakeBroken, HandshakeRefused, Transport, TransportError
from streamer.watchdog import FeedSilent

log = logging.getLogger(__name__)

#: HTTP answers to the handshake that pass: request timeout, too early, too many requests. All of 5xx too.
_PASSING_STATUS: Final = frozenset({408, 425, 429})

#: The first that fits counts: TimeoutError and gaierror are OSErrors.
_CAUSES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (HandshakeRefused, "refused"),
    (HandshakeBroken, "handshake"),
    (ConnectionEnded, "closed"),
    (NoAnswer, "no_answer"),
    (FeedSilent, "silent"),
    (DiskSlow, "disk_slow"),
    (SpoolFull, "spool_full"),
    (TimeoutError, "timeout"),
    (socket.gaierror, "name_resolution"),
    (OSError, "network"),
)


def is_retryable(error: Exception) -> bool:
    """Whether connecting again may help. The only place that decides; an error not named here is fatal.

    OSError covers refused and reset connections, unreachable networks, names that do not resolve and TLS failures;
    TimeoutError is one of them.
    """
    match error:
        case HandshakeRefused(status=status):
            return status >= 500 or status in _PASSING_STATUS
        case HandshakeBroken() | ConnectionEnded() | NoAnswer() | FeedSilent() | NoRoom() | OSError():
            return True
        case _:
            return False


def cause_of(error: Exception) -> str:
    """One word for why a connection ended: the `reason` of pulse_disconnected and a metric label, so of few values."""
    if isinstance(error, ConnectionEnded) and error.frame_too_big:
        return "frame_too_big"
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "fatal")


def code_of(error: Exception) -> int | None:
    """WebSocket close code, HTTP status or errno: whatever the error carries."""
    match error:
        case ConnectionEnded(code=code):
            return code
        case HandshakeRefused(status=status):
            return status
        case OSError(errno=number):
            return number
        case _:
            return None


def backoff(max_seconds: float, uniform: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Seconds to wait before the next attempt, for ever: a random share of 1, 2, 4 … capped at `max_seconds`.

    Random from the first wait on, so that many clients dropped by one deploy do not come back together.
    """
    ceiling = 1.0
    while True:
        ceiling = min(ceiling, max_seconds)
        yield uniform(ceiling / 2, ceiling)
        ceiling *= 2


class ConnectionRate:
    """Spaces connection attempts over all feeds of a process: the exchange asks for at most one a second."""

    def __init__(self, min_interval_seconds: float = 1.0) -> None:
        self._min_interval = min_interval_seconds
        self._next_at = 0.0
        self._queue = asyncio.Lock()

    async def wait(self) -> None:
        """Wait for the turn of the next attempt."""
        async with self._queue:
            await asyncio.sleep(self._next_at - time.monotonic())
            self._next_at = time.monotonic() + self._min_interval


class Feed:
    """One supervised connection to the feed: runs one capture after another until it is cancelled."""

    def __init__(
        self,
        config: StreamerConfig,
        transport: Transport,
        recorder: Recorder,
        status: FeedStatus,
        products: Iterable[str],
        *,
        rate: ConnectionRate,
        on_disconnect: Callable[[str], None],
    ) -> None:
        """`on_disconnect` is told the cause of every connection or attempt that ended."""
        self._config = config
        self._transport = transport
        self._recorder = recorder
        self._status = status
        self._rate = rate
        self._on_disconnect = on_disconnect
        self._attempt = 0
        self._capture: Capture | None = None
        self.want(products)

    def want(self, products: Iterable[str]) -> None:
        """Capture these products from now on; an open connection stays open."""
        self._products = tuple(products)
        self._status.products = len(self._products)
        if self._capture is not None:
            self._capture.want(self._products)

    async def run(self) -> None:
        """Capture until cancelled. Raises what is not retryable."""
        waits = backoff(self._config.backoff_max_seconds)
        while True:
            # Without room a connection could only be left unread; while others had their turn it may have gone.
            await self._recorder.room()
            await self._rate.wait()
            if not self._recorder.has_room:
                continue
            try:
                await self._connect_and_capture()
            except (TransportError, NoAnswer, FeedSilent, NoRoom, OSError) as error:
                if self._status.state is FeedState.STREAMING:
                    waits = backoff(self._config.backoff_max_seconds)
                    self._attempt = 0
                self._disconnected(error)
                if not is_retryable(error):
                    raise
            except asyncio.CancelledError:
                self._stopped()
                raise
            self._status.state = FeedState.WAITING
            await asyncio.sleep(next(waits))

    async def _connect_and_capture(self) -> None:
        self._attempt += 1
        self._status.state = FeedState.CONNECTING
        url = self._config.feed_url
        async with self._transport(
            url,
            timeout_seconds=self._config.connect_timeout_seconds,
            frame_max_bytes=self._config.frame_max_bytes,
        ) as connection:
            self._status.connection_no = self._recorder.connected(url, self._attempt)
            self._status.state = FeedState.CONNECTED
            log.info("connected", extra={"url": url, "connection_no": self._status.connection_no})
            self._capture = Capture(connection, self._products, self._config, self._recorder, self._status)
            try:
                await self._capture.run()
            finally:
                self._capture = None

    def _disconnected(self, error: Exception) -> None:
        cause, text = cause_of(error), str(error) or type(error).__name__
        connection_no = self._status.connection_no
        self._recorder.disconnected(cause, code_of(error), text, connection_no)
        self._on_disconnect(cause)
        self._status.last_error = f"{cause}: {text}"
        log.warning("disconnected", extra={"cause": cause, "error": text, "connection_no": connection_no})

    def _stopped(self) -> None:
        if self._status.connected:
            self._recorder.disconnected("stopped", None, "", self._status.connection_no)
        self._status.state = FeedState.STOPPED
