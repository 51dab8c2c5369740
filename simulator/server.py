"""All parts put together: ports, ledger, market or replay, and an orderly end."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Iterator

from aiohttp import web
from websockets.asyncio.server import serve

from include.config import SimulatorConfig
from simulator.active_faults import ActiveFaults
from simulator.control import Control
from simulator.errors import SimulatorError
from simulator.exchange import Exchange
from simulator.feed import Feed
from simulator.hub import Hub
from simulator.injector import Injector
from simulator.ledger import Ledger
from simulator.queries import Queries
from simulator.rate_limit import RateLimit
from simulator.recorded_market import RecordedMarket, fresh_ledger
from simulator.replay import Replay
from simulator.rest import Rest
from simulator.sent_journal import SentJournal
from simulator.source import Source
from simulator.status import Status
from simulator.truth import Truth

_LOG = logging.getLogger(__name__)

#: A client that does not answer the closing handshake is cut off after this, in seconds: the whole end takes less
#: than two.
_CLOSE_TIMEOUT = 0.5


async def run(config: SimulatorConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises SimulatorError, and RecordingError for a recording that cannot be replayed.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    with (
        _listening(config.simulator_host, config.simulator_ws_port, "PULSE_SIMULATOR_WS_PORT") as ws_socket,
        _listening(config.simulator_host, config.simulator_rest_port, "PULSE_SIMULATOR_REST_PORT") as rest_socket,
        _ledger(config) as ledger,
    ):
        journal = SentJournal(config.resolved_dir() / "sent") if config.simulator_record_sent else None
        hub, faults = Hub(journal), ActiveFaults(config.simulator_seed)
        source = _source(config, ledger, hub, Injector(faults))
        limit = RateLimit(float(config.simulator_rest_rate), config.simulator_rest_burst)
        with contextlib.closing(Queries(ledger.path)) as queries:
            routes = [
                *Rest(source, queries, limit, faults).routes(),
                *Truth(queries).routes(),
                *Control(source, hub, faults, journal).routes(),
                *Status(source, hub).routes(),
            ]
            async with _feed(ws_socket, Feed(source, hub, faults), hub), _http(rest_socket, routes):
                _LOG.info(
                    "%s: feed ws://%s:%d, REST and control http://%s:%d",
                    source.status()["mode"],
                    config.simulator_host,
                    config.simulator_ws_port,
                    config.simulator_host,
                    config.simulator_rest_port,
                )
                await _until(stop, source)


def _ledger(config: SimulatorConfig) -> Ledger:
    folder = config.resolved_dir()
    return Ledger(folder / "truth.sqlite3") if config.replay_file is None else fresh_ledger(folder / "replay.sqlite3")


def _source(config: SimulatorConfig, ledger: Ledger, hub: Hub, injector: Injector) -> Source:
    if config.replay_file is None:
        return Exchange(config, ledger, hub, injector)
    speed = None if config.replay_speed == "max" else float(config.replay_speed)
    if speed == 0:
        raise SimulatorError("PULSE_REPLAY_SPEED=0: the replay would never begin; give a factor above 0, or max")
    return Replay(config.replay_file, speed, RecordedMarket(config.replay_file, ledger), hub)


@contextlib.contextmanager
def _listening(host: str, port: int, variable: str) -> Iterator[socket.socket]:
    """A bound socket. Raises SimulatorError naming the variable when the address cannot be had."""
    try:
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = "is taken by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise SimulatorError(f"{variable}={port}: {host}:{port} {why}. Stop what uses it, or set {variable}") from error
    with bound:
        yield bound


@contextlib.asynccontextmanager
async def _feed(bound: socket.socket, feed: Feed, hub: Hub) -> AsyncIterator[None]:
    server = serve(
        feed.serve,
        sock=bound,
        process_request=feed.refuse,
        ping_interval=None,
        close_timeout=_CLOSE_TIMEOUT,
        server_header=None,
    )
    async with server:
        try:
            yield
        finally:
            for connection in hub.connections():
                connection.revive()


@contextlib.asynccontextmanager
async def _http(bound: socket.socket, routes: Iterable[web.RouteDef]) -> AsyncIterator[None]:
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLOSE_TIMEOUT)
    await runner.setup()
    try:
        await web.SockSite(runner, bound).start()
        yield
    finally:
        await runner.cleanup()


async def _until(stop: asyncio.Event, source: Source) -> None:
    """Run the source until asked to stop; an error of the source ends the process."""
    trading = asyncio.create_task(source.run(), name="source")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait((trading, stopping), return_when=asyncio.FIRST_COMPLETED)
    for task in (trading, stopping):
        task.cancel()
    results = await asyncio.gather(trading, stopping, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
