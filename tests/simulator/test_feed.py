"""The feed speaks the exchange's protocol."""

import json
import re

import pytest
from websockets.exceptions import ConnectionClosed

from tests.simulator.conftest import Connect, StartSimulator
from tests.simulator.running import Simulator

MATCH_MEMBERS = [
    ("type", str),
    ("trade_id", int),
    ("maker_order_id", str),
    ("taker_order_id", str),
    ("side", str),
    ("size", str),
    ("price", str),
    ("product_id", str),
    ("sequence", int),
    ("time", str),
]
TICKER_MEMBERS = [
    ("type", str),
    ("sequence", int),
    ("product_id", str),
    ("price", str),
    ("open_24h", str),
    ("volume_24h", str),
    ("low_24h", str),
    ("high_24h", str),
    ("volume_30d", str),
    ("best_bid", str),
    ("best_bid_size", str),
    ("best_ask", str),
    ("best_ask_size", str),
    ("side", str),
    ("time", str),
    ("trade_id", int),
    ("last_size", str),
]
HEARTBEAT_MEMBERS = [("type", str), ("last_trade_id", int), ("product_id", str), ("sequence", int), ("time", str)]
TRIMMED = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{0,7}[1-9])?")
TIME = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def members(message: dict[str, object]) -> list[tuple[str, type]]:
    """Names and types in their order."""
    return [(name, type(value)) for name, value in message.items()]


async def test_a_subscription_begins_with_ack_last_match_and_ticker_snapshot(
    simulator: Simulator, connect_to: Connect
) -> None:
    """The acknowledgement lists channels with null account ids; then come the last trade and its ticker per product."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", "ETH-USD")
    await client.until_types(2, "ticker")
    acknowledgement, *rest = client.messages
    assert json.dumps(acknowledgement, separators=(",", ":")) == client.frames[0]
    assert [channel["name"] for channel in acknowledgement["channels"]] == ["matches", "ticker", "heartbeat"]
    for channel in acknowledgement["channels"]:
        assert list(channel) == ["name", "product_ids", "account_ids"]
        assert sorted(channel["product_ids"]) == ["BTC-USD", "ETH-USD"]
        assert channel["account_ids"] is None
    assert sorted((message["type"], message["product_id"], message["trade_id"]) for message in rest) == [
        ("last_match", "BTC-USD", 1),
        ("last_match", "ETH-USD", 1),
        ("ticker", "BTC-USD", 1),
        ("ticker", "ETH-USD", 1),
    ]


async def test_messages_have_the_members_of_the_exchange_in_its_order(
    simulator: Simulator, connect_to: Connect
) -> None:
    """Match, ticker and heartbeat have the exchange's members, types and number formats."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD")
    await simulator.burst(50)
    await client.until_type("heartbeat")
    matches, tickers, heartbeats = (client.of_type(name) for name in ("match", "ticker", "heartbeat"))
    assert all(members(match) == MATCH_MEMBERS for match in [*matches, *client.of_type("last_match")])
    assert all(members(ticker) == TICKER_MEMBERS for ticker in tickers)
    assert all(members(heartbeat) == HEARTBEAT_MEMBERS for heartbeat in heartbeats)
    assert all(TIME.fullmatch(message["time"]) for message in [*matches, *tickers, *heartbeats])
    assert all(TRIMMED.fullmatch(match[name]) for match in matches for name in ("price", "size"))
    assert all(
        re.fullmatch(r"[0-9]+\.[0-9]{2}", ticker[name]) for ticker in tickers for name in ("best_bid", "best_ask")
    )
    assert all(re.fullmatch(r"[0-9]+\.[0-9]{8}", ticker["volume_24h"]) for ticker in tickers)


async def test_match_and_ticker_of_a_trade_agree_and_have_opposite_sides(
    simulator: Simulator, connect_to: Connect
) -> None:
    """A match tells the maker's side, a ticker the taker's; they come in either order."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches", "ticker"))
    ids = await simulator.burst(40)
    await client.until_received(lambda: len(client.of_type("match")) == 40 and len(client.of_type("ticker")) == 41)
    tickers = {ticker["trade_id"]: ticker for ticker in client.of_type("ticker")}
    for match in client.of_type("match"):
        ticker = tickers[match["trade_id"]]
        assert {match["side"], ticker["side"]} == {"buy", "sell"}
        assert [match[name] for name in ("price", "size", "sequence", "time")] == [
            ticker[name] for name in ("price", "last_size", "sequence", "time")
        ]
    order = [(message["trade_id"], message["type"]) for message in client.messages if message.get("trade_id") in ids]
    first_told = {order[index][1] for index in range(0, len(order), 2)}
    assert first_told == {"match", "ticker"}


async def test_a_burst_shares_one_microsecond_and_one_taker(simulator: Simulator, connect_to: Connect) -> None:
    """Trades of one taker order have the same time and taker, ids without a hole and increasing sequences."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches",))
    ids = await simulator.burst(37)
    await client.until_match(ids[-1])
    matches = client.of_type("match")
    assert [match["trade_id"] for match in matches] == ids
    assert len({(match["time"], match["taker_order_id"], match["side"]) for match in matches}) == 1
    assert len({match["maker_order_id"] for match in matches}) == 37
    sequences = [match["sequence"] for match in matches]
    assert sequences == sorted(set(sequences))


async def test_heartbeats_come_each_second_with_the_last_trade(simulator: Simulator, connect_to: Connect) -> None:
    """Heartbeats fall on whole seconds, carry the newest id and advance the product's sequence."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD")
    ids = await simulator.burst(3)
    first = await client.until_type("heartbeat")
    second = await client.until_type("heartbeat")
    assert first["last_trade_id"] == second["last_trade_id"] == ids[-1]
    assert first["time"].endswith(".000000Z")
    assert int(second["time"][17:19]) == (int(first["time"][17:19]) + 1) % 60
    assert client.of_type("match")[-1]["sequence"] < first["sequence"] < second["sequence"]


async def test_ids_are_contiguous_and_sequences_increase_at_rate(
    start_simulator: StartSimulator, connect_to: Connect
) -> None:
    """Behind last_match every id follows, per product, and sequences are sparse."""
    simulator = await start_simulator(simulator_rate=300, simulator_products="BTC-USD,ETH-USD,FOO-BAR")
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", "ETH-USD", "FOO-BAR", channels=("matches",))
    await client.until_types(400, "match")
    for product_id in ("BTC-USD", "ETH-USD", "FOO-BAR"):
        trades = [m for m in client.of_type("last_match", "match") if m["product_id"] == product_id]
        ids = [trade["trade_id"] for trade in trades]
        sequences = [trade["sequence"] for trade in trades]
        assert len(ids) > 20
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert sequences == sorted(set(sequences))
        assert sequences[-1] - sequences[0] > 2 * len(sequences)
        assert [trade["time"] for trade in trades] == sorted(trade["time"] for trade in trades)


async def test_refusals_do_not_cancel_the_rest(shared_simulator: Simulator, connect_to: Connect) -> None:
    """A bad product, a bad channel and a channel that needs a key are refused by name; the rest is granted."""
    client = await connect_to(shared_simulator)
    await client.say(
        type="subscribe",
        product_ids=["BTC-USD", "NO-PE"],
        channels=["matches", "nonsense", "level2", {"name": "heartbeat", "product_ids": ["ETH-USD"]}],
    )
    acknowledgement = await client.until_type("subscriptions")
    errors = client.of_type("error")
    assert [(error["message"], error["reason"].partition(",")[0]) for error in errors] == [
        ("Failed to subscribe", "NO-PE is not a valid product"),
        ("Failed to subscribe", "nonsense is not a valid channel"),
        ("Failed to subscribe", "level2"),
    ]
    assert {channel["name"]: channel["product_ids"] for channel in acknowledgement["channels"]} == {
        "matches": ["BTC-USD"],
        "heartbeat": ["ETH-USD"],
    }


@pytest.mark.parametrize("text", ["{", "[]", '{"type":"dance"}', '{"type":"subscribe","channels":7}'])
async def test_nonsense_is_answered_with_an_error(shared_simulator: Simulator, connect_to: Connect, text: str) -> None:
    """What is not a request gets an error message and the connection stays usable."""
    client = await connect_to(shared_simulator)
    await client.websocket.send(text)
    assert json.loads(await client.receive())["type"] == "error"
    await client.subscribe("BTC-USD")
    await client.until_type("subscriptions")


async def test_subscriptions_add_up_and_can_be_taken_back(simulator: Simulator, connect_to: Connect) -> None:
    """Every acknowledgement lists all that is subscribed; what is unsubscribed is sent no more."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches",))
    await client.subscribe("ETH-USD", channels=("matches", "ticker"))
    await client.until_types(2, "subscriptions")
    granted = client.of_type("subscriptions")[1]["channels"]
    assert {channel["name"]: sorted(channel["product_ids"]) for channel in granted} == {
        "matches": ["BTC-USD", "ETH-USD"],
        "ticker": ["ETH-USD"],
    }
    await client.say(type="unsubscribe", product_ids=["BTC-USD"], channels=["matches"])
    await client.say(type="unsubscribe", channels=["ticker"])
    await client.until_types(4, "subscriptions")
    assert [channel["product_ids"] for channel in client.of_type("subscriptions")[3]["channels"]] == [["ETH-USD"]]
    await simulator.burst(2, "BTC-USD")
    ids = await simulator.burst(2, "ETH-USD")
    await client.until_match(ids[-1])
    assert {match["product_id"] for match in client.of_type("match")} == {"ETH-USD"}


async def test_last_match_is_sent_at_every_subscribe(simulator: Simulator, connect_to: Connect) -> None:
    """After a reconnect last_match bounds from above what was missed."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches",))
    assert (await client.until_type("last_match"))["trade_id"] == 1
    await client.websocket.close()
    ids = await simulator.burst(10)
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD", channels=("matches",))
    assert (await client.until_type("last_match"))["trade_id"] == ids[-1]
    (following,) = await simulator.burst(1)
    assert (await client.until_type("match"))["trade_id"] == following == ids[-1] + 1


async def test_a_client_that_does_not_subscribe_is_disconnected(simulator: Simulator, connect_to: Connect) -> None:
    """Five seconds without a granted subscription end the connection; a refused one does not count."""
    client = await connect_to(simulator)
    await client.subscribe("NO-PE", channels=("matches",))
    with pytest.raises(ConnectionClosed) as closed:
        await client.until(lambda _: False)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


@pytest.mark.parametrize(("offered", "used"), [("deflate", ["permessage-deflate"]), (None, [])])
async def test_frames_are_compressed_when_the_client_offers_it(
    simulator: Simulator, connect_to: Connect, offered: str | None, used: list[str]
) -> None:
    """permessage-deflate is the client's choice and changes no byte of a message."""
    client = await connect_to(simulator, compression=offered)
    assert [extension.name for extension in client.websocket.protocol.extensions] == used
    await client.subscribe("BTC-USD")
    ids = await simulator.burst(20)
    await client.until_match(ids[-1])
    sent = [entry["frame"] for entry in await simulator.sent(1)]
    assert client.frames == sent[: len(client.frames)]
    assert len(client.frames) >= 42
