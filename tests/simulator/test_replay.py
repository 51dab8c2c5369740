"""A recording is served verbatim, at its pace, once."""

import asyncio
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from simulator.recording import read_recording
from tests.simulator.conftest import Connect, StartSimulator
from tests.simulator.running import Message, Simulator, eventually
from tests.simulator.test_feed import HEARTBEAT_MEMBERS, MATCH_MEMBERS, TICKER_MEMBERS, members

FIRST_SECOND = 1_783_465_096


def match(trade_id: int, *, kind: str = "match", at: str = "2026-07-07T22:58:16.156605Z") -> str:
    """A match as recorded."""
    return (
        f'{{"type":"{kind}","trade_id":{trade_id},"maker_order_id":"2a0da34e-61f7-4c36-88e5-c9dd15927b16",'
        '"taker_order_id":"3c82abaa-c01e-4608-be59-6a1e69742891","side":"sell","size":"0.10","price":"1774.92",'
        f'"product_id":"ETH-USD","sequence":{100 + trade_id},"time":"{at}"}}'
    )


FRAMES = [
    '{"type":"subscriptions","channels":[{"name":"matches","product_ids":["ETH-USD"],"account_ids":null}]}',
    '{"type":"snapshot","product_id":"ETH-USD","asks":[["1774.93","0.56100580"]],"bids":[]}',
    match(5, kind="last_match"),
    match(6) + " ",
    '{"type":"l2update", "product_id":"ETH-USD","changes":[["buy","1.50","0.00000000"]]}',
    "{not json",
    match(7),
    match(7),
    '{"type":"größer","product_id":"ETH-USD"}',
]


def write_ndjson(path: Path, frames: Sequence[str]) -> Path:
    """Frames as NDJSON."""
    path.write_text("".join(f"{frame}\n" for frame in frames), encoding="utf-8")
    return path


def write_cryptofeed(path: Path, frames: Sequence[str], gap: float = 0.001) -> Path:
    """Frames as cryptofeed writes them, `gap` seconds apart."""
    lines = [f"{FIRST_SECOND + index * gap:.6f}: {frame}\n" for index, frame in enumerate(frames)]
    path.write_text("wss://feed <-> 1.0\nwss://feed <- 1.1: {}\n" + "".join(lines) + "\n\n", encoding="utf-8")
    return path


async def finished(simulator: Simulator) -> bool:
    """Whether the last frame was sent."""
    return bool((await simulator.get("/status"))["finished"])


@pytest.mark.parametrize("write", [write_ndjson, write_cryptofeed])
async def test_every_frame_is_served_verbatim(
    start_simulator: StartSimulator, connect_to: Connect, tmp_path: Path, write: Callable[[Path, Sequence[str]], Path]
) -> None:
    """Whatever is asked for: all frames as recorded, nothing else, then silence on an open connection."""
    path = write(tmp_path / "recording", FRAMES)
    simulator = await start_simulator(replay_file=path, replay_speed="max")
    assert (await simulator.get("/status"))["finished"] is False
    client = await connect_to(simulator)
    await client.subscribe("SOMETHING-ELSE", channels=("ticker",))
    await client.until_frames(len(FRAMES))
    await eventually(lambda: finished(simulator))
    await asyncio.wait_for(await client.websocket.ping(), 5)
    assert client.frames == FRAMES
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.websocket.recv(), 0.1)
    status = await simulator.get("/status")
    assert (status["mode"], status["frames_replayed"], status["frames_sent"]) == ("replay", len(FRAMES), len(FRAMES))


async def test_a_client_that_comes_back_gets_the_next_frame(
    start_simulator: StartSimulator, connect_to: Connect, tmp_path: Path
) -> None:
    """The position is the process's: nothing is repeated, invented or sent while nobody is subscribed."""
    path = write_cryptofeed(tmp_path / "recording", [match(trade_id) for trade_id in range(1, 41)], gap=0.05)
    simulator = await start_simulator(replay_file=path)
    received: list[Message] = []
    for _ in range(3):
        client = await connect_to(simulator)
        await client.subscribe("ETH-USD")
        await client.until_frames(5)
        await client.websocket.close()
        received += client.messages
    client = await connect_to(simulator)
    before = (await simulator.get("/status"))["frames_replayed"]
    await client.websocket.ping()
    assert (await simulator.get("/status"))["frames_replayed"] == before
    await client.subscribe("ETH-USD")
    await client.until_match(40)
    ids = [message["trade_id"] for message in received + client.messages]
    assert ids == sorted(set(ids))
    assert client.messages[0]["trade_id"] == before + 1


async def test_all_subscribed_clients_get_the_frames(
    start_simulator: StartSimulator, connect_to: Connect, tmp_path: Path
) -> None:
    """Two connections at once get the same frames while both are there."""
    path = write_cryptofeed(tmp_path / "recording", [match(trade_id) for trade_id in range(1, 31)], gap=0.05)
    simulator = await start_simulator(replay_file=path)
    clients = [await connect_to(simulator) for _ in range(2)]
    for client in clients:
        await client.subscribe("ETH-USD")
    for client in clients:
        await client.until_match(30)
    assert clients[0].frames[-20:] == clients[1].frames[-20:]


@pytest.mark.parametrize(("speed", "seconds"), [("1", 1.0), ("4", 0.25)])
async def test_speed_scales_the_recorded_distances(
    start_simulator: StartSimulator, connect_to: Connect, tmp_path: Path, speed: str, seconds: float
) -> None:
    """Frames a recorded second apart arrive a second apart, or that divided by the speed."""
    times = ["2026-07-07T22:58:16.000000Z", "2026-07-07T22:58:16.500000Z", "2026-07-07T22:58:17.000000Z"]
    path = write_ndjson(tmp_path / "recording", [match(trade_id, at=at) for trade_id, at in enumerate(times, start=1)])
    simulator = await start_simulator(replay_file=path, replay_speed=speed)
    client = await connect_to(simulator)
    await client.subscribe("ETH-USD")
    loop = asyncio.get_running_loop()
    await client.until_match(1)
    started = loop.time()
    await client.until_match(3)
    assert seconds * 0.8 < loop.time() - started < seconds * 0.8 + 2


async def test_rest_and_truth_come_from_the_recording(start_simulator: StartSimulator, tmp_path: Path) -> None:
    """Distinct trades of match and last_match, products as mentioned, frame faults refused."""
    path = write_ndjson(tmp_path / "recording", FRAMES)
    simulator = await start_simulator(replay_file=path)
    assert [product["id"] for product in await simulator.get("/products")] == ["ETH-USD"]
    assert [trade["trade_id"] for trade in await simulator.get("/products/ETH-USD/trades")] == [7, 6, 5]
    (summary,) = (await simulator.get("/truth/summary"))["products"]
    assert summary == {
        "product_id": "ETH-USD",
        "trades": 3,
        "first_trade_id": 5,
        "last_trade_id": 7,
        "volume": "0.3",
        "notional": "532.476",
    }
    (first, *_) = await simulator.truth("ETH-USD")
    assert first["maker_order_id"] == "2a0da34e-61f7-4c36-88e5-c9dd15927b16"
    async with simulator.session.post("/control/faults", json={"kind": "skip"}) as response:
        assert response.status == 409
    simulator.process.kill()
    await simulator.start()
    assert (await simulator.get("/status"))["trades"] == 3


async def test_a_real_recording_is_served_verbatim(
    start_simulator: StartSimulator, connect_to: Connect, recording: Path
) -> None:
    """Every frame of it, byte for byte, and the truth holds its distinct trades."""
    simulator = await start_simulator(replay_file=recording, replay_speed="max")
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD")
    expected = [frame.text for frame in read_recording(recording)]
    await client.until_frames(len(expected))
    assert client.frames == expected
    trades = {
        (m["product_id"], m["trade_id"]): (Decimal(m["price"]), Decimal(m["size"]))
        for m in client.of_type("match", "last_match")
    }
    products = (await simulator.get("/truth/summary"))["products"]
    assert sum(product["trades"] for product in products) == len(trades)
    for product in products:
        own = [trade for (product_id, _), trade in trades.items() if product_id == product["product_id"]]
        assert Decimal(product["volume"]) == sum(size for _, size in own)
        assert Decimal(product["notional"]) == sum(price * size for price, size in own)


def test_our_messages_have_the_members_of_the_real_ones(recording: Path) -> None:
    """What the feed tests demand of the simulator is what a real recording shows; tickers of 2021 lack two members."""
    since_2022 = {"best_bid_size", "best_ask_size"}
    demanded = {"match": MATCH_MEMBERS, "last_match": MATCH_MEMBERS, "heartbeat": HEARTBEAT_MEMBERS}
    seen = set()
    for frame in read_recording(recording):
        message = json.loads(frame.text)
        if message["type"] in demanded:
            assert members(message) == demanded[message["type"]]
        elif message["type"] == "ticker":
            assert members(message) == [item for item in TICKER_MEMBERS if item[0] not in since_2022 - set(message)]
        seen.add(message["type"])
    assert {"match", "last_match"} <= seen
