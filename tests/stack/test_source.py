"""SOURCE=: what it means, and whether the live feed answers."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.server import serve

from include.config import Source
from stack.errors import StackError
from stack.installation import Installation
from stack.plan import SourceChoice
from stack.source import choose_source, configured_source, plan_for, probe


@contextmanager
def websocket_server() -> Iterator[str]:
    """A server that accepts WebSocket connections."""
    with serve(lambda connection: connection.close(), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_probe_accepts_a_feed_that_shakes_hands() -> None:
    """A WebSocket handshake is enough."""
    with websocket_server() as url:
        assert probe(url, 5) is None


def test_probe_names_a_refused_connection() -> None:
    """Nobody listens: the obstacle is told."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert str(port) in str(probe(f"ws://127.0.0.1:{port}", 5))


def test_probe_gives_up_on_silence_in_time() -> None:
    """A server that accepts and says nothing costs no more than the time allowed."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert probe(f"ws://127.0.0.1:{silent.getsockname()[1]}", 0.2) == "no answer within 0.2 s"


def test_probe_names_a_server_that_is_no_feed() -> None:
    """An HTTP answer that is no handshake is an obstacle, not a crash."""

    async def probe_http() -> str | None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(probe, f"ws://127.0.0.1:{port}", 5)

    assert "503" in str(asyncio.run(probe_http()))


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({"PULSE_SOURCE": "live"}, Source.LIVE),
        ({"PULSE_REPLAY_FILE": "recording.ndjson"}, Source.REPLAY),
        ({"PULSE_FEED_URL": "ws://127.0.0.1:1"}, Source.SIMULATED),
        ({"PULSE_FEED_URL": "wss://ws-feed.exchange.coinbase.com"}, Source.LIVE),
        ({}, None),
    ],
)
def test_auto_follows_the_environment(environ: dict[str, str], source: Source | None) -> None:
    """What the environment says needs no probing."""
    assert configured_source(SourceChoice.AUTO, environ) is source


def test_a_choice_wins_over_the_environment() -> None:
    """SOURCE=live is meant."""
    assert configured_source(SourceChoice.LIVE, {"PULSE_SOURCE": "simulated"}) is Source.LIVE


@pytest.mark.parametrize(("obstacle", "source"), [(None, Source.LIVE), ("no route to host", Source.SIMULATED)])
def test_auto_without_a_hint_tries_the_live_feed(obstacle: str | None, source: Source) -> None:
    """Live when it answers, else simulated; either way the user is told, with the reason."""
    said: list[str] = []
    tried: list[tuple[str, float]] = []

    def tries(url: str, seconds: float) -> str | None:
        tried.append((url, seconds))
        return obstacle

    assert choose_source(SourceChoice.AUTO, {"PULSE_LIVE_PROBE_SECONDS": "3"}, said.append, tries) is source
    assert tried == [("wss://ws-feed.exchange.coinbase.com", 3)]
    assert source in said[-1]
    assert (obstacle or "") in said[-1]


def test_a_replay_takes_its_products_from_the_recording(installation: Installation, tmp_path: Path) -> None:
    """The streamer subscribes to what the recording holds."""
    recording = tmp_path / "recording.ndjson"
    recording.write_text(
        '{"type":"match","trade_id":1,"product_id":"SOL-USD","time":"2026-07-07T22:58:16.000001Z"}\n'
        '{"type":"match","trade_id":7,"product_id":"ADA-EUR","time":"2026-07-07T22:58:17.000001Z"}\n'
    )
    plan = plan_for(Source.REPLAY, {"PULSE_REPLAY_FILE": str(recording)}, installation)
    assert set(plan.settings["PULSE_PRODUCTS"].split(",")) == {"ADA-EUR", "SOL-USD"}


def test_products_named_by_the_user_win_over_the_recordings(installation: Installation, tmp_path: Path) -> None:
    """PULSE_PRODUCTS is meant."""
    recording = tmp_path / "recording.ndjson"
    recording.touch()
    environ = {"PULSE_REPLAY_FILE": str(recording), "PULSE_PRODUCTS": "BTC-USD"}
    assert plan_for(Source.REPLAY, environ, installation).settings["PULSE_PRODUCTS"] == "BTC-USD"


def test_a_recording_that_is_not_there_is_named(installation: Installation) -> None:
    """A wrong REPLAY= is told with its absolute path."""
    with pytest.raises(StackError, match=r"/nowhere\.ndjson: no such file"):
        plan_for(Source.REPLAY, {"PULSE_REPLAY_FILE": "/nowhere.ndjson"}, installation)
