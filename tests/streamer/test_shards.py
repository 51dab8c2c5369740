"""Products spread over several connections, and each shard's connection doubled."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connection import ConnectionRate
from streamer.feed_status import FeedState
from streamer.shards import Assignment
from streamer.transports import HandshakeRefused
from tests.simulator.running import Simulator
from tests.streamer.support.exchange import Exchange, match_frame
from tests.streamer.support.listing import Listing
from tests.streamer.support.market import Market
from tests.streamer.support.running import Running
from tests.streamer.support.spool_view import Line, SpoolView, control, frames
from tests.streamer.support.waiting import eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]
StartSimulator = Callable[..., Awaitable[Simulator]]

PRODUCTS = ("BTC-USD", "ETH-USD", "XRP-USD", "SOL-USD", "ADA-USD")


@pytest.fixture
async def listing() -> AsyncIterator[Listing]:
    """A listing that a test can change."""
    async with Listing().open() as listing:
        yield listing


def connections(status: dict[str, Any]) -> dict[tuple[int, int], dict[str, Any]]:
    """The connections in /status by shard and replica."""
    return {(row["shard"], row["replica"]): row for row in status["connections"]}


def trade_ids(lines: list[Line], product_id: str) -> Counter[int]:
    """How often each trade of a product was recorded."""
    messages = [msgspec.json.decode(line.frame) for line in lines if line.frame and line.type == "match"]
    return Counter(message["trade_id"] for message in messages if message["product_id"] == product_id)


@asynccontextmanager
async def dropped(simulator: Simulator, connection: int) -> AsyncIterator[None]:
    """End a connection, and let none be made while the block runs."""
    await simulator.inject("refuse_handshake", count=None)
    await simulator.inject("drop", connection=connection)
    yield
    async with simulator.session.delete("/control/faults") as response:
        assert response.status == 200


# ---------------------------------------------------------------- assignment


def test_shards_are_filled_one_after_the_other() -> None:
    """As few connections as the limit allows, products in their given order."""
    assert Assignment(2).update(PRODUCTS) == {1: PRODUCTS[:2], 2: PRODUCTS[2:4], 3: PRODUCTS[4:]}


def test_only_what_changes_is_told() -> None:
    """A new product goes where there is room; the others stay where they are."""
    assignment = Assignment(2)
    assignment.update(["A", "B", "C", "D", "E"])
    assert assignment.update(["B", "C", "D", "E", "F", "G"]) == {1: ("B", "F"), 3: ("E", "G")}
    assert assignment.update(["B", "C", "D", "E", "F", "G"]) == {}


def test_shard_without_products_is_gone_and_its_number_free() -> None:
    """The next shard that is needed takes it."""
    assignment = Assignment(1)
    assignment.update(["A", "B"])
    assert assignment.update(["B"]) == {1: ()}
    assert assignment.update(["B", "C"]) == {1: ("C",)}


@given(st.integers(1, 4), st.lists(st.sets(st.sampled_from("ABCDEFGHIJ")), max_size=6))
def test_assignment_holds_its_limits_whatever_comes(limit: int, listings: list[set[str]]) -> None:
    """Every product is on exactly one shard, no shard is over the limit, and what stays listed stays in place."""
    assignment, shards = Assignment(limit), dict[int, tuple[str, ...]]()
    for listing in listings:
        before = {product: shard for shard, products in shards.items() for product in products}
        shards |= assignment.update(sorted(listing))
        shards = {shard: products for shard, products in shards.items() if products}
        placed = [(product, shard) for shard, products in shards.items() for product in products]
        assert sorted(product for product, _ in placed) == sorted(listing)
        assert all(len(products) <= limit for products in shards.values())
        assert all(before.get(product, shard) == shard for product, shard in placed)


# -------------------------------------------------------------------- shards


async def test_every_product_is_subscribed_on_one_connection(exchange: Exchange, running: Run) -> None:
    """No connection has more products than allowed; /status and the metrics show what each has."""
    exchange.handler = market = Market(*PRODUCTS)
    async with running(products=PRODUCTS, products_per_connection=2) as run:
        await eventually(lambda: [feed.state for feed in run.streamer.status.feeds] == [FeedState.STREAMING] * 3)
        assert market.subscribed(exchange) == [set(PRODUCTS[:2]), set(PRODUCTS[2:4]), {PRODUCTS[4]}]
        status = await run.get_json("/status")
        _, metrics = await run.get("/metrics")
    assert {place: row["products"] for place, row in connections(status).items()} == {(1, 1): 2, (2, 1): 2, (3, 1): 1}
    assert {row["state"] for row in status["connections"]} == {"streaming"}
    assert status["state"] == "streaming"
    for name, value in (("connections", 3), ("connections_wanted", 3), ("shards", 3), ("products", 5)):
        assert re.search(rf"^pulse_streamer_{name} {value}\.0$", metrics, re.MULTILINE)


async def test_killed_connection_leaves_the_others_untouched(
    start_simulator: StartSimulator, running: Run, spool: SpoolView
) -> None:
    """Its shard comes back under a new number; the others keep theirs and miss no trade."""
    simulator = await start_simulator(simulator_products=",".join(PRODUCTS[:4]))
    async with running(products=PRODUCTS[:4], products_per_connection=2, feed_url=simulator.feed_url) as run:
        await run.eventually_ready()
        before = connections(await run.get_json("/status"))
        made = await simulator.burst(20, "SOL-USD")
        async with dropped(simulator, before[1, 1]["connection_no"]):
            await eventually(lambda: not run.streamer.status.connected)
            made += await simulator.burst(20, "SOL-USD")
        await eventually(lambda: run.streamer.status.connected)
        made += await simulator.burst(20, "SOL-USD")
        wanted = len(made)
        await eventually(lambda: messages(run, "match", "SOL-USD") == wanted)
        await run.eventually_ready()
        after = connections(await run.get_json("/status"))
        await run.messages(1)
    assert after[2, 1]["connection_no"] == before[2, 1]["connection_no"]
    assert after[1, 1]["connection_no"] == 3
    lines = spool.seal()
    assert trade_ids(lines, "SOL-USD") == Counter(made)
    other = [line for line in lines if line.connection_no == before[2, 1]["connection_no"]]
    assert [detail["reason"] for detail in control(other, "pulse_disconnected")] == ["stopped"]


def messages(run: Running, type_: str, product_id: str) -> int:
    """Frames of a type and product that were received so far."""
    counts = run.streamer.status.traffic.counts()
    return sum(count.messages for count in counts if (count.type, count.product) == (type_, product_id))


async def test_new_listings_fill_a_shard_and_open_another(
    exchange: Exchange, listing: Listing, running: Run, spool: SpoolView
) -> None:
    """Connections that are open stay open."""
    exchange.handler = market = Market(*PRODUCTS)
    listing.list(*PRODUCTS[:3])
    ordered = sorted(PRODUCTS[:3])
    async with running(
        products=("all",), products_per_connection=2, rest_url=listing.url, products_refresh_seconds=0.02
    ) as run:
        await eventually(lambda: market.subscribed(exchange) == [set(ordered[:2]), set(ordered[2:])])
        listing.list(*PRODUCTS)
        new = sorted(PRODUCTS[3:])
        await eventually(lambda: market.subscribed(exchange) == [set(ordered[:2]), {ordered[2], new[0]}, {new[1]}])
        await run.eventually_ready()
    assert [line.connection_no for line in spool.seal() if line.type == "pulse_connected"] == [1, 2, 3]


async def test_shard_that_is_down_makes_the_streamer_not_ready(exchange: Exchange, running: Run) -> None:
    """One shard without a connection is data that are missing, however well the others do."""
    exchange.handler = Market(*PRODUCTS[:4])
    async with running(products=PRODUCTS[:4], products_per_connection=2) as run:
        await run.eventually_ready()
        exchange.refusals = [503] * 100_000
        await exchange.connections[1].close(1012)
        await eventually(lambda: "refused" in run.streamer.status.last_error)
        reasons = (await run.get_json("/readyz"))["reasons"]
        status = await run.get_json("/status")
        assert reasons == ["shard 2: not connected to the feed: refused: " + str(HandshakeRefused(503))]
        assert status["connected"] is False
        assert status["state"] in {"waiting", "connecting"}
        assert connections(status)[1, 1]["state"] == "streaming"
        assert "1 of 2 connections" in run.streamer.status.line()
        exchange.refusals.clear()
        await run.eventually_ready()


async def test_fatal_error_of_one_shard_ends_the_session(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """What trying again does not mend is not hidden behind shards that work."""
    exchange.handler = Market(*PRODUCTS[:4])

    async def lose_a_shard() -> None:
        async with running(products=PRODUCTS[:4], products_per_connection=2) as run:
            await run.eventually_ready()
            exchange.refusals = [404]
            await exchange.connections[1].close(1012)
            await run.task

    with pytest.raises(ExceptionGroup) as raised:
        await lose_a_shard()
    assert raised.group_contains(HandshakeRefused)
    assert control(spool.seal(), "pulse_stopped") == [{"reason": "failed"}]


async def test_deploy_that_closes_all_connections_is_survived_at_the_allowed_rate(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """Attempts are at least a second apart, over all shards; every frame sent after it is captured."""
    exchange.handler = market = Market(*PRODUCTS[:2])
    made: list[float] = []

    class NotedRate(ConnectionRate):
        async def wait(self) -> None:
            await super().wait()
            made.append(asyncio.get_running_loop().time())

    async with running(products=PRODUCTS[:2], products_per_connection=1, rate=NotedRate()) as run:
        await run.eventually_ready()
        await asyncio.gather(*(connection.close(1012, "service restart") for connection in exchange.connections))
        await eventually(lambda: len(exchange.connections) == 4)
        await run.eventually_ready()
        await market.trade(exchange, 1, PRODUCTS[0])
        await market.trade(exchange, 2, PRODUCTS[1])
        await eventually(lambda: all(messages(run, "match", product) == 1 for product in PRODUCTS[:2]))
        await run.messages(1)
    assert len(made) == 4
    assert all(later - earlier > 0.9 for earlier, later in pairwise(made))
    lines = spool.seal()
    assert sum(detail["code"] == 1012 for detail in control(lines, "pulse_disconnected")) == 2
    assert match_frame(1, PRODUCTS[0]) in frames(lines)
    assert match_frame(2, PRODUCTS[1]) in frames(lines)


# ------------------------------------------------------------------ replicas


async def test_replica_that_is_killed_loses_nothing(
    start_simulator: StartSimulator, running: Run, spool: SpoolView
) -> None:
    """Both connections of a shard are recorded; the trades made while one is down are there once, the rest twice."""
    simulator = await start_simulator()
    async with running(products=("BTC-USD",), connections_per_shard=2, feed_url=simulator.feed_url) as run:
        await eventually(lambda: run.streamer.status.connections_open == 2)
        await eventually(lambda: messages(run, "last_match", "BTC-USD") == 2)
        twice = await simulator.burst(10)
        await eventually(lambda: messages(run, "match", "BTC-USD") == 20)
        async with dropped(simulator, 1):
            await eventually(lambda: run.streamer.status.connections_open == 1)
            assert (await run.get("/readyz"))[0] == 200
            once = await simulator.burst(10)
            await eventually(lambda: messages(run, "match", "BTC-USD") == 30)
        await eventually(lambda: messages(run, "last_match", "BTC-USD") == 3)
        twice += await simulator.burst(10)
        await eventually(lambda: messages(run, "match", "BTC-USD") == 50)
        status = connections(await run.get_json("/status"))
        await run.messages(1)
    assert {place: row["connection_no"] for place, row in status.items()} == {(1, 1): 3, (1, 2): 2}
    lines = spool.seal()
    assert trade_ids(lines, "BTC-USD") == Counter(2 * twice + once)
    assert {line.connection_no for line in lines if line.type == "match"} == {1, 2, 3}
    for number in (1, 2, 3):
        sent = [msgspec.json.decode(frame) for frame in await journal(simulator, number)]
        got = [msgspec.json.decode(line.frame) for line in lines if line.frame and line.connection_no == number]
        assert got == sent[: len(got)]
        assert sum(frame["type"] == "match" for frame in got) == sum(frame["type"] == "match" for frame in sent)


async def journal(simulator: Simulator, number: int) -> list[bytes]:
    """Frames that the simulator sent to a connection."""
    return [row["frame"].encode() for row in await simulator.sent(number)]


async def test_every_shard_gets_its_first_connection_before_any_gets_its_second(
    exchange: Exchange, running: Run
) -> None:
    """Connections are opened one by one: coverage comes before redundancy."""
    exchange.handler = market = Market(*PRODUCTS[:2])
    async with running(products=PRODUCTS[:2], products_per_connection=1, connections_per_shard=2):
        await eventually(lambda: all(market.subscribed(exchange)) and len(exchange.connections) == 4)
    assert market.subscribed(exchange) == [{PRODUCTS[0]}, {PRODUCTS[1]}] * 2
