"""The streamer against a real WebSocket server: what was sent is what is in the spool."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import batched

import pytest
from websockets.asyncio.server import ServerConnection

from include.config import TransportName
from include.spool import SegmentName
from tests.streamer.support.exchange import Exchange, match_frame, playing
from tests.streamer.support.market import Market
from tests.streamer.support.running import Running
from tests.streamer.support.spool_view import SpoolView, control, frames
from tests.streamer.support.waiting import elapsed, eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]

SNAPSHOT_OF_1_2_MB = (
    b'{"type":"snapshot","product_id":"BTC-USD","asks":[' + b",".join([b'["63514.60","0.20000000"]'] * 46_000) + b"]}"
)


@pytest.fixture(params=list(TransportName))
def transport_name(request: pytest.FixtureRequest) -> TransportName:
    """Every test of a streamer in this module runs on both transports."""
    name: TransportName = request.param
    return name


async def test_every_frame_is_stored_in_order_byte_for_byte(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """What the server sent, acknowledgement included, is in the spool once, in order."""
    exchange.handler = playing(*(match_frame(number) for number in range(1, 5001)))
    async with running() as run:
        await run.messages(5001)
    assert frames(spool.seal()) == exchange.sent


@pytest.mark.parametrize(
    ("frame", "type_"),
    [
        pytest.param(b'{"type":"match","trade_id":', "malformed", id="torn JSON"),
        pytest.param(b"[1,2]", "malformed", id="no object"),
        pytest.param(b"", "malformed", id="empty"),
        pytest.param(b'{"type":"match","trade_id":1,"record_no":7}', "malformed", id="reserved name"),
        pytest.param(b'{"type":"\xff\xfe"}', "malformed", id="no UTF-8"),
        pytest.param(b'{"type":"auction","product_id":"BTC-USD","price":"1.10"}', "auction", id="unknown type"),
        pytest.param(b'{"type":"match","trade_id":1,"venue":{"a":[1.10,null]}}', "match", id="new field"),
        pytest.param(b'{"type":"match","trade_id":"1","product_id":7}', "match", id="fields of another type"),
        pytest.param(SNAPSHOT_OF_1_2_MB, "snapshot", id="1.2 MB"),
    ],
)
async def test_unusual_frame_is_kept_whole_and_capture_goes_on(
    exchange: Exchange, running: Run, spool: SpoolView, frame: bytes, type_: str
) -> None:
    """A frame nobody expected is stored as it came, between its neighbours, on the same connection."""
    exchange.handler = playing(match_frame(1), frame, match_frame(2))
    async with running() as run:
        await run.messages(4)
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    assert [line.type for line in lines if line.frame is not None] == ["subscriptions", "match", type_, "match"]
    assert len(control(lines, "pulse_connected")) == 1


async def test_raw_line_breaks_in_a_frame_become_spaces(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """White space between members must not end the line of a record."""
    exchange.handler = playing(b'{"type":"match",\n"trade_id":1,\r\n"price":"1.10"}')
    async with running() as run:
        await run.messages(2)
    assert frames(spool.seal())[1] == b'{"type":"match", "trade_id":1,  "price":"1.10"}'


async def test_fragmented_and_binary_messages_are_whole_frames(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """How the server cuts a message for the wire, or which opcode it uses, does not matter."""
    frame = match_frame(1)

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        await connection.send([bytes(part) for part in batched(frame, 50, strict=False)], text=True)
        await connection.send(frame)
        await connection.wait_closed()

    exchange.handler = play
    async with running() as run:
        await run.messages(3)
    assert frames(spool.seal())[1:] == [frame, frame]


async def test_handshake_offers_compression_and_says_who_we_are(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """permessage-deflate is offered, agreed on, and does not change a byte."""
    exchange.handler = playing(*(match_frame(number) for number in range(100)))
    async with running() as run:
        await run.messages(101)
        assert [extension.name for extension in exchange.connections[0].protocol.extensions] == ["permessage-deflate"]
    assert exchange.requests[0].headers["User-Agent"].startswith("coinbase-market-pulse/")
    assert frames(spool.seal()) == exchange.sent


async def test_session_tells_its_story_in_control_records(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """Start, connection, comparison, end of connection and stop are records around the frames."""
    exchange.handler = playing(match_frame(1))
    async with running() as run:
        await run.messages(2)
    lines = spool.seal()
    assert [(line.type, line.connection_no) for line in lines] == [
        ("pulse_started", 0),
        ("pulse_connected", 1),
        ("subscriptions", 1),
        ("pulse_subscribed", 1),
        ("match", 1),
        ("pulse_disconnected", 1),
        ("pulse_stopped", 1),
    ]
    assert control(lines, "pulse_started")[0]["feed_url"] == exchange.url
    assert control(lines, "pulse_started")[0]["products"] == ["BTC-USD", "ETH-USD"]
    assert control(lines, "pulse_connected") == [{"url": exchange.url, "attempt": 1}]
    assert control(lines, "pulse_disconnected")[0]["reason"] == "stopped"
    assert control(lines, "pulse_stopped") == [{"reason": "signal"}]


async def test_request_asks_for_the_configured_products_and_channels(exchange: Exchange, running: Run) -> None:
    """The subscribe message is sent once, right after connecting."""
    async with running(products=("SOL-USD",), channels=("ticker", "level2_batch")) as run:
        await run.messages(1)
    assert exchange.subscriptions == [
        {"type": "subscribe", "product_ids": ["SOL-USD"], "channels": ["ticker", "level2_batch"]}
    ]


async def test_refused_product_is_reported_and_the_rest_goes_on(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """An error frame for one product is recorded; the others' data are captured on the same connection."""
    refusal = b'{"type":"error","message":"Failed to subscribe","reason":"ETH-USD is not a valid product"}'

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection, matches=["BTC-USD"], heartbeat=["BTC-USD"])
        await exchange.send(connection, refusal)
        await exchange.send(connection, match_frame(1))
        await connection.wait_closed()

    exchange.handler = play
    refused = [{"name": "heartbeat", "product_ids": ["ETH-USD"]}, {"name": "matches", "product_ids": ["ETH-USD"]}]
    async with running() as run:
        await run.messages(3)
        assert (await run.get_json("/status"))["refused"] == refused
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    assert control(lines, "pulse_subscribed")[0]["refused"] == refused
    assert len(exchange.connections) == 1


async def test_refused_product_is_asked_for_again_and_a_later_grant_clears_the_report(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """A listing that comes is found on the open connection; what is granted already is not asked for again."""
    exchange.handler = market = Market("BTC-USD")
    async with running(products=("BTC-USD", "NEW-USD"), refused_retry_seconds=0.1) as run:
        await eventually(lambda: run.streamer.status.refused_products == 1)
        assert re.search(r"^pulse_streamer_refused_products 1.0$", (await run.get("/metrics"))[1], re.MULTILINE)
        await eventually(lambda: len(exchange.subscriptions) > 2)
        assert run.streamer.status.refused_products == 1
        market.products.add("NEW-USD")
        await eventually(lambda: not run.streamer.status.refused)
        await market.trade(exchange, 7, "NEW-USD")
        await elapsed(0.2)  # a request may have been on its way
        asked = len(exchange.subscriptions)
        await elapsed(0.3)
        await run.messages(1)
    assert len(exchange.connections) == 1
    assert len(exchange.subscriptions) == asked
    again = {
        "type": "subscribe",
        "channels": [
            {"name": "matches", "product_ids": ["NEW-USD"]},
            {"name": "heartbeat", "product_ids": ["NEW-USD"]},
        ],
    }
    assert exchange.subscriptions[1:] == [again] * (asked - 1)
    lines = spool.seal()
    assert match_frame(7, "NEW-USD") in frames(lines)
    assert control(lines, "pulse_subscribed")[0]["refused"]
    assert control(lines, "pulse_subscribed")[-1]["refused"] == []


async def test_answer_nobody_understands_is_recorded_and_survived(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """An acknowledgement or error of another shape ends nothing."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.subscription(connection)
        for frame in (b'{"type":"subscriptions","channels":7}', b'{"type":"error","message":{}}', match_frame(1)):
            await exchange.send(connection, frame)
        await connection.wait_closed()

    exchange.handler = play
    async with running() as run:
        await run.messages(3)
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    assert control(lines, "pulse_subscribed") == []
    assert len(exchange.connections) == 1


async def test_grant_of_another_recording_is_only_reported(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """A replay acknowledges what it was once asked for: its frames are captured all the same."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection, level2_50=["ADA-USD"])
        await exchange.send(connection, match_frame(1, "ADA-USD"))
        await connection.wait_closed()

    exchange.handler = play
    async with running() as run:
        await run.messages(2)
    lines = spool.seal()
    assert frames(lines) == exchange.sent
    assert control(lines, "pulse_subscribed")[0]["granted"] == [{"name": "level2_50", "product_ids": ["ADA-USD"]}]
    assert len(exchange.connections) == 1


async def test_scheduler_takes_an_idle_segment(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """A rename is noticed without a frame arriving; the segment can be sealed while the streamer runs on."""
    exchange.handler = playing(match_frame(1))
    async with running() as run:
        await run.messages(2)
        before = spool.seal()
        assert frames(before) == exchange.sent
        await exchange.send(exchange.connections[0], match_frame(2))
        await run.messages(3)
    assert frames(spool.seal()) == exchange.sent


async def test_scheduler_takes_segments_while_frames_pour_in(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """Rotation by rename at full rate loses, doubles and reorders nothing."""
    taken: list[SegmentName] = []

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        while len(taken) < 10:
            for _ in range(100):
                await exchange.send(connection, match_frame(len(exchange.sent)))
            await asyncio.sleep(0)
        await connection.wait_closed()

    def take() -> bool:
        taken.extend(spool.open().rotate_all())
        return len(taken) >= 10

    exchange.handler = play
    async with running() as run:
        await eventually(take)
        await run.messages(len(exchange.sent))
    assert frames(spool.seal()) == exchange.sent
    assert spool.count_sealed() >= 10


async def test_streamer_rotates_by_size_without_a_scheduler(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """Full segments are handed over by the writer itself."""
    exchange.handler = playing(*(match_frame(number) for number in range(2_000)))
    async with running(segment_max_bytes=100_000) as run:
        await run.messages(2_001)
        # On a slow machine all lines may come with one write, and so fill one segment only.
        await eventually(lambda: any((spool.path / "sealing").iterdir()))
    assert frames(spool.seal()) == exchange.sent
