"""The share of messages that the design of one POST and one row a message stores; see fastapi_sqlite.py."""

import shutil
import socket
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench.streamer.exchange import Exchange
from bench.streamer.receivers import PEERS_PYTHON, unused_port
from bench.streamer.watched import Watched

_SCRIPT = Path(__file__).with_name("fastapi_sqlite.py")
_START_SECONDS = 30.0

#: The last requests may be under way for this long.
_GRACE_SECONDS = 1.0


class Stored(NamedTuple):
    """One run."""

    rate: float
    share: float
    """Rows in the database, _GRACE_SECONDS after the last message, to messages sent."""
    cpu_us: float
    """CPU time of client and service for a row, in microseconds."""


def measure(generator: Path, *, rate: float, seconds: float, folder: Path) -> Stored:
    """Send at a rate for so long."""
    work, port = Path(tempfile.mkdtemp(dir=folder)), unused_port()
    database, messages = work / "rows.sqlite", int(rate * seconds)
    serve: list[str | Path] = [PEERS_PYTHON, _SCRIPT, "serve", str(port), database]
    try:
        with Exchange(generator) as exchange, Watched(serve, work / "service.log") as service:
            _wait_for(port, service)
            feed: list[str | Path] = [PEERS_PYTHON, _SCRIPT, "feed", str(exchange.port), str(port)]
            with Watched(feed, work / "client.log") as client:
                exchange.accept(subscribes=False)
                before = service.cpu_seconds() + client.cpu_seconds()
                exchange.finish(exchange.start(messages, rate, "exchange"), 2 * seconds + 60)
                time.sleep(_GRACE_SECONDS)
                with closing(sqlite3.connect(database)) as connection:
                    rows = connection.execute("SELECT count(*) FROM messages").fetchone()[0]
                cpu = service.cpu_seconds() + client.cpu_seconds() - before
        return Stored(rate, rows / messages, cpu / max(rows, 1) * 1e6)
    finally:
        shutil.rmtree(work)


def _wait_for(port: int, service: Watched) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        service.check()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
