"""Each fault can be seen from outside, and the journal says exactly what was done."""

import asyncio
import json
from collections import Counter
from http import HTTPStatus

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.simulator.conftest import Connect, StartSimulator
from tests.simulator.running import Client, Message, Simulator, eventually


@pytest.fixture
async def client(simulator: Simulator, connect_to: Connect) -> Client:
    """A client that gets matches of BTC-USD and has read the answers to its subscription."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches",))
    await client.until_type("last_match")
    client.forget()
    return client


async def injected(simulator: Simulator) -> list[Message]:
    """The journal."""
    entries: list[Message] = (await simulator.get("/control/journal"))["injected"]
    return entries


async def received_ids(simulator: Simulator, client: Client, trades: int) -> list[int]:
    """Ids of the matches received of a burst and of a last trade behind it."""
    await simulator.burst(trades)
    (last,) = await simulator.burst(1)
    await client.until_match(last)
    return [match["trade_id"] for match in client.of_type("match")]


async def test_duplicate_sends_frames_again(simulator: Simulator, client: Client) -> None:
    """The next three matches come twice, byte for byte."""
    await simulator.inject("duplicate", count=3)
    assert await received_ids(simulator, client, 5) == [2, 2, 3, 3, 4, 4, 5, 6, 7]
    assert client.frames[0] == client.frames[1]
    assert [entry["trade_id"] for entry in await injected(simulator) if entry["kind"] == "duplicate"] == [2, 3, 4]


async def test_reorder_sends_a_frame_behind_later_ones(simulator: Simulator, client: Client) -> None:
    """The next match comes behind the two after it."""
    await simulator.inject("reorder", distance=2)
    assert await received_ids(simulator, client, 4) == [3, 4, 2, 5, 6]


async def test_a_reordered_frame_comes_at_the_latest_behind_a_heartbeat(
    simulator: Simulator, connect_to: Connect
) -> None:
    """Without later trades the frame is not lost."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches", "heartbeat"))
    await client.until_type("last_match")
    await simulator.inject("reorder", distance=5)
    (trade_id,) = await simulator.burst(1)
    await client.until_match(trade_id)
    assert client.messages[-2]["type"] == "heartbeat"
    assert client.messages[-2]["last_trade_id"] == trade_id


async def test_skip_hides_a_trade_that_exists(simulator: Simulator, connect_to: Connect) -> None:
    """Skipped trades are in the truth, neither their match nor their ticker is sent, and the journal lists them."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches", "ticker"))
    await client.until_type("ticker")
    await simulator.inject("skip", count=2)
    assert await received_ids(simulator, client, 5) == [4, 5, 6, 7]
    await client.until_received(lambda: client.of_type("ticker")[-1]["trade_id"] == 7)
    assert [ticker["trade_id"] for ticker in client.of_type("ticker")] == [1, 4, 5, 6, 7]
    assert [trade["trade_id"] for trade in await simulator.truth("BTC-USD")] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry["trade_id"] for entry in await injected(simulator) if entry["kind"] == "skip"] == [2, 3]


async def test_a_fault_can_be_aimed_at_one_connection(
    simulator: Simulator, client: Client, connect_to: Connect
) -> None:
    """The other connection gets everything, so a redundant pair can be tested."""
    second = await connect_to(simulator)
    await second.subscribe("BTC-USD", channels=("matches",))
    await second.until_type("last_match")
    await simulator.inject("skip", count=2, connection=2)
    await simulator.inject("duplicate", count=1, connection=1)
    await simulator.inject("reorder", count=1, connection=2)
    assert await received_ids(simulator, client, 5) == [2, 3, 4, 4, 5, 6, 7]
    await second.until_match(7)
    assert [match["trade_id"] for match in second.of_type("match")] == [4, 6, 5, 7]


async def test_malformed_frames_come_beside_the_good_ones(simulator: Simulator, client: Client) -> None:
    """By default the fitting frame's own beginning; or a text or bytes of choice; or instead of the frame."""
    await simulator.inject("malformed")
    await simulator.inject("malformed", text="<html>502</html>")
    await simulator.inject("malformed", base64="/wA=")
    await simulator.inject("malformed", text="[]", replace=True)
    await simulator.burst(5)
    assert json.loads([await client.receive() for _ in range(8)][-1])["trade_id"] == 6
    frames = client.frames
    assert isinstance(frames[1], str)
    assert isinstance(frames[0], str)
    assert frames[1].startswith(frames[0])
    assert [frames[2], frames[4], frames[6]] == ["<html>502</html>", b"\xff\x00", "[]"]
    assert [json.loads(frames[index])["trade_id"] for index in (1, 3, 5, 7)] == [2, 3, 4, 6]
    assert [next(iter(entry)) for entry in await simulator.sent(1)][-8:] == [*["frame"] * 4, "base64", *["frame"] * 3]


async def test_oversize_sends_a_large_valid_message(simulator: Simulator, client: Client) -> None:
    """A level 2 snapshot of the size asked for comes before the match."""
    await simulator.inject("oversize", size_bytes=1_300_000)
    assert await received_ids(simulator, client, 1) == [2, 3]
    (snapshot,) = client.of_type("snapshot")
    assert snapshot["product_id"] == "BTC-USD"
    assert abs(len(client.frames[0]) - 1_300_000) < 100


async def test_oversize_beyond_the_clients_limit_ends_the_connection(simulator: Simulator, connect_to: Connect) -> None:
    """A client with a limit closes with 1009, message too big."""
    client = await connect_to(simulator)
    client.websocket.protocol.max_message_size = 100_000
    await client.subscribe("BTC-USD", channels=("matches",))
    await client.until_type("last_match")
    await simulator.inject("oversize")
    await simulator.burst(1)
    with pytest.raises(ConnectionClosed) as closed:
        await client.until_type("match")
    assert closed.value.sent is not None
    assert closed.value.sent.code == 1009


async def test_unknown_type_new_field_and_newline_are_valid_json(simulator: Simulator, client: Client) -> None:
    """A new message type, a new member at the end, and raw line breaks between members."""
    await simulator.inject("unknown_type", type_name="auction_preview")
    await simulator.inject("new_field", name="venue", value={"tier": 2})
    await simulator.inject("newline")
    assert await received_ids(simulator, client, 3) == [2, 3, 4, 5]
    (unknown,) = client.of_type("auction_preview")
    assert unknown["product_id"] == "BTC-USD"
    second, third = client.of_type("match")[1:3]
    assert list(second)[-1] == "venue"
    assert second["venue"] == {"tier": 2}
    assert third["trade_id"] == 4
    assert str(client.frames[3]).count("\n") == 9
    assert "\n" not in str(client.frames[4])


async def test_cut_ends_tcp_in_the_middle_of_a_frame(simulator: Simulator, client: Client) -> None:
    """The frames before it arrive, the cut one does not, and there is no closing handshake."""
    await simulator.burst(2)
    await simulator.inject("cut")
    await simulator.burst(1)
    with pytest.raises(ConnectionClosedError) as closed:
        await client.until(lambda _: False)
    assert closed.value.rcvd is None
    assert [match["trade_id"] for match in client.of_type("match")] == [2, 3]
    sent = await simulator.sent(1)
    assert [entry["frame"] for entry in sent[-3:-1]] == client.frames
    assert json.loads(sent[-1]["cut"])["trade_id"] == 4


@pytest.mark.parametrize("reset", [False, True])
async def test_drop_ends_tcp_without_a_closing_handshake(simulator: Simulator, client: Client, reset: bool) -> None:
    """All connections, or one, end at once."""
    assert (await simulator.inject("drop", reset=reset))["connections"] == [1]
    with pytest.raises(ConnectionClosedError) as closed:
        await client.receive()
    assert closed.value.rcvd is None
    status = await simulator.get("/status")
    assert (status["connections"], status["connections_opened"]) == (0, 1)


async def test_close_ends_all_connections_like_a_deploy(
    simulator: Simulator, client: Client, connect_to: Connect
) -> None:
    """Every client gets the code and the reason."""
    second = await connect_to(simulator)
    await simulator.inject("close", code=1012, reason="deploy")
    for victim in (client, second):
        with pytest.raises(ConnectionClosed) as closed:
            await victim.receive()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "deploy")


async def test_stall_is_silence_on_an_open_socket(simulator: Simulator, client: Client) -> None:
    """Nothing comes but pongs; what was made meanwhile is lost to this connection; clearing ends it."""
    await simulator.inject("stall")
    await simulator.burst(3)
    await asyncio.wait_for(await client.websocket.ping(), 5)
    async with simulator.session.delete("/control/faults") as response:
        assert response.status == 200
    (trade_id,) = await simulator.burst(1)
    await client.until_match(trade_id)
    assert [match["trade_id"] for match in client.of_type("match")] == [trade_id] == [5]


async def test_a_stall_ends_by_itself(simulator: Simulator, client: Client) -> None:
    """After its duration the stream goes on with what is new then."""
    await simulator.inject("stall", duration_seconds=0.3, answer_pings=False)
    (lost,) = await simulator.burst(1)
    pong = await client.websocket.ping()

    async def reached() -> bool:
        await simulator.burst(1)
        return bool((await simulator.sent(1))[-1]["frame"].find('"match"') > 0)

    await eventually(reached)
    await client.until_type("match")
    await asyncio.wait_for(pong, 5)
    assert client.of_type("match")[0]["trade_id"] > lost


async def test_a_stall_without_pongs_looks_half_open(simulator: Simulator, client: Client) -> None:
    """Pings stay unanswered while the socket is open."""
    await simulator.inject("stall", answer_pings=False)
    pong = await client.websocket.ping()
    done, _ = await asyncio.wait([asyncio.ensure_future(pong)], timeout=0.5)
    assert not done
    assert (await simulator.get("/status"))["connections"] == 1


async def test_error_frame_comes_out_of_the_blue(simulator: Simulator, client: Client) -> None:
    """The message asked for, then the stream goes on."""
    await simulator.inject("error_frame", message="Internal error", reason="disk on fire")
    error = await client.until_type("error")
    assert error == {"type": "error", "message": "Internal error", "reason": "disk on fire"}
    assert await received_ids(simulator, client, 1) == [2, 3]


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_handshakes_can_be_refused(simulator: Simulator, connect_to: Connect, status: int) -> None:
    """Two handshakes are refused, the third one passes."""
    await simulator.inject("refuse_handshake", status=status, count=2)
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refused:
            await connect_to(simulator)
        assert refused.value.response.status_code == status
    await connect_to(simulator)
    assert [entry["status"] for entry in await injected(simulator)] == [status, status]


async def test_rest_storms_pass_by(start_simulator: StartSimulator) -> None:
    """A share of the requests fails until the count is used up; truth and control are spared."""
    simulator = await start_simulator(simulator_rest_rate=100_000, simulator_rest_burst=100_000)
    await simulator.inject("rest_error", status=500, probability=0.3, count=20)
    statuses = Counter[int]()
    while statuses[500] < 20:
        async with simulator.session.get("/products/BTC-USD/trades?limit=1") as response:
            statuses[response.status] += 1
        await simulator.get("/truth/summary")
    assert set(statuses) == {200, 500}
    for _ in range(10):
        await simulator.get("/products")
    assert len(await injected(simulator)) == 20
    await simulator.inject("rest_error", status=429, retry_after_seconds=7)
    async with simulator.session.get("/time") as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")


async def test_faults_in_wait_are_listed_and_cleared(simulator: Simulator, client: Client) -> None:
    """A fault says how often it struck; a cleared or outlived one strikes no more."""
    first = await simulator.inject("duplicate", count=None)
    second = await simulator.inject("skip", product_id="ETH-USD")
    await simulator.inject("malformed", duration_seconds=0.001)
    await received_ids(simulator, client, 1)
    await client.until_match(3)
    assert [match["trade_id"] for match in client.of_type("match")] == [2, 2, 3, 3]
    listed = (await simulator.get("/control/faults"))["faults"]
    assert [(fault["id"], fault["kind"], fault["injected"]) for fault in listed] == [
        (first["id"], "duplicate", 2),
        (second["id"], "skip", 0),
    ]
    async with simulator.session.delete(f"/control/faults/{first['id']}") as response:
        assert await response.json() == {"cleared": 1}
    async with simulator.session.delete(f"/control/faults/{first['id']}") as response:
        assert response.status == HTTPStatus.NOT_FOUND
    assert (await received_ids(simulator, client, 1))[4:] == [4, 5]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("{", "truncated"),
        ("{}", "kind"),
        ('{"kind":"earthquake"}', "earthquake"),
        ('{"kind":"skip","count":0}', "count"),
        ('{"kind":"skip","probability":1.5}', "probability"),
        ('{"kind":"skip","colour":"red"}', "colour"),
        ('{"kind":"skip","product_id":"NO-PE"}', "NO-PE"),
        ('{"kind":"burst","product_id":"NO-PE"}', "NO-PE"),
        ('{"kind":"close","code":99}', "code"),
        ('{"kind":"drop","connection":7}', "connection 7"),
        ('{"kind":"refuse_handshake","status":200}', "status"),
    ],
)
async def test_a_bad_fault_is_refused_with_what_is_wrong(shared_simulator: Simulator, body: str, named: str) -> None:
    """400 with a message that names the member or value; nothing is injected."""
    async with shared_simulator.session.post("/control/faults", data=body) as response:
        assert response.status == HTTPStatus.BAD_REQUEST
        assert named in (await response.json())["message"]
    assert (await shared_simulator.get("/control/faults"))["faults"] == []


async def test_the_journal_of_sent_frames_equals_what_was_received(
    start_simulator: StartSimulator, connect_to: Connect
) -> None:
    """With faults at random, two connections received exactly what the journal says, byte for byte."""
    simulator = await start_simulator(simulator_rate=300, simulator_record_sent="true")
    clients = [await connect_to(simulator) for _ in range(2)]
    for client in clients:
        await client.subscribe("BTC-USD", "ETH-USD", "XRP-USD")
    for kind in ("duplicate", "reorder", "skip", "malformed", "unknown_type", "new_field", "newline"):
        await simulator.inject(kind, count=None, probability=0.05)
    for client in clients:
        await client.until_frames(1500)
    for number, client in enumerate(clients, start=1):
        sent = [entry["frame"] for entry in await simulator.sent(number)]
        assert sent[: len(client.frames)] == client.frames
    assert len({entry["kind"] for entry in await injected(simulator)}) == 7


async def test_sent_frames_are_not_kept_unless_asked_for(start_simulator: StartSimulator) -> None:
    """Without the setting the answer names it."""
    simulator = await start_simulator()
    async with simulator.session.get("/sent?connection=1") as response:
        assert response.status == HTTPStatus.CONFLICT
        assert "PULSE_SIMULATOR_RECORD_SENT" in (await response.json())["message"]
