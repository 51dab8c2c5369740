"""One open connection, from the subscription to its end."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from include.coinbase import FeedMessageError, parse_error, parse_subscriptions
from include.config import StreamerConfig
from include.spool import Header
from streamer.feed_status import FeedState, FeedStatus
from streamer.recorder import Recorder, as_json
from streamer.subscriptions import Subscriptions
from streamer.transports import Connection
from streamer.watchdog import Watchdog

log = logging.getLogger(__name__)

HEARTBEAT = "heartbeat"

#: Market data that say nothing but themselves: nothing is to be done about one but to record it.
_DATA = frozenset({"match", "ticker"})

#: Answers to our request: they prove that the exchange listens, not that data flows.
ANSWERS = frozenset({"subscriptions", "error"})


class NoAnswer(Exception):
    """A connection is open, but the exchange says nothing at all to the subscription."""


class Capture:
    """Subscribes, then records every frame: acknowledgements, errors and what nobody understands included."""

    def __init__(
        self,
        connection: Connection,
        products: Iterable[str],
        config: StreamerConfig,
        recorder: Recorder,
        status: FeedStatus,
    ) -> None:
        """`status` has the connection's number."""
        self._connection = connection
        self._connection_no = status.connection_no
        self._config = config
        self._recorder = recorder
        self._status = status
        self._subscriptions = Subscriptions(products, config.channels)
        self._watchdog = Watchdog(config.heartbeat_timeout_seconds)
        self._watches_heartbeats = False
        # Until data have come every frame may be the first.
        self._unnoticed: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Capture until the connection ends, which always is an error.

        Raises TransportError, NoAnswer, NoRoom, FeedSilent or OSError.
        """
        await self._subscribe()
        async with self._watchdog.watching():
            with every(self._config.refused_retry_seconds, self._subscriptions.ask_again):
                while True:
                    if not self._recorder.has_room:
                        await self._wait_for_room()
                    # Requests wait for a frame: then the loop needs no second task. Without frames for long, the
                    # watchdog ends the connection and the next one asks for everything.
                    if self._subscriptions.due:
                        await self._request()
                    await self._connection.receive(self._take)

    def want(self, products: Iterable[str]) -> None:
        """Subscribe to what is new and unsubscribe from the rest, with the next frame."""
        self._subscriptions.want(products)

    async def _subscribe(self) -> None:
        """Send the request and take what comes first."""

        def take_once(frames: Sequence[bytes]) -> bool:
            self._take(frames)
            return False

        seconds = self._config.first_message_timeout_seconds
        try:
            async with asyncio.timeout(seconds) as timeout:
                await self._connection.send(self._subscriptions.first_request())
                await self._connection.receive(take_once)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise NoAnswer(f"no frame came within {seconds} s of the subscription") from None

    async def _request(self) -> None:
        for request in self._subscriptions.requests():
            log.info("the subscription changes", extra={"request": request, "connection_no": self._connection_no})
            await self._connection.send(request)
        self._status.refused = self._subscriptions.refused

    def _take(self, frames: Sequence[bytes]) -> bool:
        """Record what one read brought, from within the transport; whether to read on without us."""
        recorder = self._recorder
        self._status.last_frame_us = recorder.frames(frames, self._connection_no, self._notice, self._unnoticed)
        if not self._watches_heartbeats:
            self._watchdog.seen()
        return recorder.has_room and not self._subscriptions.due

    def _notice(self, header: Header | None, frame: bytes) -> None:
        if header is None:
            return
        if header.type == HEARTBEAT:
            self._watchdog.seen()
        if header.type in ANSWERS:
            self._answered(header.type, frame)
        elif not self._unnoticed:
            self._unnoticed = _DATA
            self._status.state = FeedState.STREAMING
            self._status.last_error = ""

    async def _wait_for_room(self) -> None:
        log.warning("no room: not reading the feed until there is", extra={"connection_no": self._connection_no})
        with self._watchdog.paused():
            await self._recorder.pause(self._connection_no, self._config.read_pause_max_seconds)
        log.info("reading the feed again", extra={"connection_no": self._connection_no})

    def _answered(self, type_: str, frame: bytes) -> None:
        try:
            if type_ == "error":
                error = parse_error(frame)
                log.warning("the exchange reports an error", extra={"error": str(error)})
                self._subscriptions.denied(error)
                self._status.refused = self._subscriptions.refused
            else:
                self._acknowledged(frame)
        except FeedMessageError as problem:
            log.warning("an answer was recorded but not understood", extra={"error": str(problem)})

    def _acknowledged(self, frame: bytes) -> None:
        comparison = self._subscriptions.acknowledged(parse_subscriptions(frame))
        self._recorder.subscribed(comparison, self._connection_no)
        self._watches_heartbeats = comparison.grants(HEARTBEAT)
        self._status.refused = comparison.refused
        if comparison.refused:
            log.warning("the exchange refused a part", extra={"refused": as_json(comparison.refused)})
        if comparison.unrequested:
            log.warning(
                "the exchange granted more than was asked", extra={"unrequested": as_json(comparison.unrequested)}
            )


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call `action` again and again while the block runs."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def act() -> None:
        nonlocal timer
        timer = loop.call_later(seconds, act)
        action()

    timer = loop.call_later(seconds, act)
    try:
        yield
    finally:
        timer.cancel()
