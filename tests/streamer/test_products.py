"""Which products are captured: PULSE_PRODUCTS against the exchange's listing."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from include.coinbase import Product
from include.config import StreamerConfig
from streamer.products import resolve
from tests.simulator.running import Simulator
from tests.streamer.support.exchange import Exchange, match_frame, playing
from tests.streamer.support.listing import Answer, Listing, listed
from tests.streamer.support.market import Market
from tests.streamer.support.running import Process, Running, unused_port
from tests.streamer.support.spool_view import SpoolView, control, frames
from tests.streamer.support.waiting import eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]
StartSimulator = Callable[..., Awaitable[Simulator]]
Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def listing() -> AsyncIterator[Listing]:
    """A listing that a test can change."""
    async with Listing().open() as listing:
        yield listing


def product(product_id: str, *, status: str = "online", trading_disabled: bool = False) -> Product:
    """A listed product."""
    base, _, quote = product_id.partition("-")
    return Product(
        id=product_id,
        base_currency=base,
        quote_currency=quote,
        base_increment="0.1",
        quote_increment="0.1",
        status=status,
        trading_disabled=trading_disabled,
    )


LISTED = (
    product("ETH-EUR"),
    product("BTC-USD"),
    product("BTC-EUR"),
    product("OLD-EUR", status="delisted"),
    product("OFF-EUR", trading_disabled=True),
)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (("all",), ("BTC-EUR", "BTC-USD", "ETH-EUR")),
        (("quote:EUR",), ("BTC-EUR", "ETH-EUR")),
        (("quote:EUR", "quote:USD"), ("BTC-EUR", "BTC-USD", "ETH-EUR")),
        (("quote:GBP",), ()),
        (("NEW-USD", "OFF-EUR"), ("NEW-USD", "OFF-EUR")),
        (("ETH-EUR", "quote:EUR", "ETH-EUR"), ("ETH-EUR", "BTC-EUR")),
    ],
)
def test_entries_mean_products(entries: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Rules take what is traded; a product given by its id is taken whatever the listing says; each counts once."""
    assert resolve(StreamerConfig(products=entries), LISTED) == expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (("quote:EUR",), {"BTC-EUR", "ETH-EUR"}),
        (("all",), {"BTC-EUR", "BTC-USD", "ETH-EUR"}),
        (("BTC-USD", "quote:EUR"), {"BTC-EUR", "BTC-USD", "ETH-EUR"}),
    ],
)
async def test_rules_are_resolved_at_the_start(
    start_simulator: StartSimulator, running: Run, spool: SpoolView, entries: tuple[str, ...], expected: set[str]
) -> None:
    """Against the simulator: what fits is subscribed, and a record says what the rules meant."""
    simulator = await start_simulator(simulator_products="BTC-USD,BTC-EUR,ETH-EUR")
    url = f"http://127.0.0.1:{simulator.process.rest_port}"
    async with running(products=entries, feed_url=simulator.feed_url, rest_url=url) as run:
        await eventually(lambda: sum(count.type == "last_match" for count in run.streamer.status.traffic.counts()) > 0)
        await eventually(lambda: known(run) >= expected)
        await run.messages(1)
        await run.eventually_ready()
        status = await run.get_json("/status")
    assert status["products"]["count"] == len(expected)
    assert status["products"]["resolved_at"]
    (resolved,) = control(spool.seal(), "pulse_products")
    ids = [entry for entry in entries if "-" in entry]
    assert resolved["rules"] == [entry for entry in entries if "-" not in entry]
    assert set(resolved["products"]) == expected
    assert set(resolved["added"]) == expected.difference(ids)
    assert resolved["removed"] == []


def known(run: Running) -> set[str]:
    """Products that something but the label for all others was counted for."""
    return {count.product for count in run.streamer.status.traffic.counts()} - {"", "other"}


async def test_products_given_by_id_need_no_listing(exchange: Exchange, listing: Listing, running: Run) -> None:
    """Without rules no REST request is ever made."""
    exchange.handler = playing(match_frame(1))
    async with running(rest_url=listing.url, products_refresh_seconds=0.01) as run:
        await run.messages(2)
        await run.eventually_ready()
    assert listing.requests == []


async def test_new_listing_is_subscribed_on_the_open_connection(
    exchange: Exchange, listing: Listing, running: Run, spool: SpoolView
) -> None:
    """Only the new product is asked for, its trades are captured, and a record says so; nothing reconnects."""
    exchange.handler = market = Market("BTC-USD", "NEW-USD")
    listing.list("BTC-USD")
    async with running(products=("all",), rest_url=listing.url, products_refresh_seconds=0.02) as run:
        await eventually(lambda: market.subscribed(exchange) == [{"BTC-USD"}])
        listing.list("BTC-USD", "NEW-USD")
        await eventually(lambda: market.subscribed(exchange) == [{"BTC-USD", "NEW-USD"}])
        await market.trade(exchange, 7, "NEW-USD")
        await eventually(lambda: "NEW-USD" in known(run))
        await run.messages(1)
    assert len(exchange.connections) == 1
    assert exchange.subscriptions[1:] == [
        {
            "type": "subscribe",
            "channels": [
                {"name": "matches", "product_ids": ["NEW-USD"]},
                {"name": "heartbeat", "product_ids": ["NEW-USD"]},
            ],
        }
    ]
    lines = spool.seal()
    assert match_frame(7, "NEW-USD") in frames(lines)
    assert control(lines, "pulse_products") == [
        {"rules": ["all"], "products": ["BTC-USD"], "added": ["BTC-USD"], "removed": []},
        {"rules": ["all"], "products": ["BTC-USD", "NEW-USD"], "added": ["NEW-USD"], "removed": []},
    ]


async def test_delisted_product_is_unsubscribed_on_the_open_connection(
    exchange: Exchange, listing: Listing, running: Run, spool: SpoolView
) -> None:
    """The others go on where they are."""
    exchange.handler = market = Market("BTC-USD", "OLD-USD")
    listing.list("BTC-USD", "OLD-USD")
    async with running(products=("all",), rest_url=listing.url, products_refresh_seconds=0.02) as run:
        await eventually(lambda: market.subscribed(exchange) == [{"BTC-USD", "OLD-USD"}])
        listing.products = [listed("BTC-USD"), listed("OLD-USD", status="delisted", trading_disabled=True)]
        await eventually(lambda: market.subscribed(exchange) == [{"BTC-USD"}])
        await run.eventually_ready()
    assert len(exchange.connections) == 1
    assert control(spool.seal(), "pulse_products")[-1]["removed"] == ["OLD-USD"]


async def test_delisting_of_all_products_closes_the_connection(
    exchange: Exchange, listing: Listing, running: Run
) -> None:
    """A connection without a subscription would be closed by the exchange; the reason is told."""
    exchange.handler = Market("OLD-USD")
    listing.list("OLD-USD")
    async with running(products=("quote:USD",), rest_url=listing.url, products_refresh_seconds=0.02) as run:
        await run.eventually_ready()
        listing.list("BTC-EUR")
        await eventually(lambda: not run.streamer.status.feeds)
        await eventually(lambda: exchange.connections[0].state.name == "CLOSED")
        assert (await run.get_json("/readyz"))["reasons"] == ["no product fits PULSE_PRODUCTS=quote:USD"]
        assert (await run.get_json("/status"))["state"] == "no_products"
        listing.list("OLD-USD")
        await run.eventually_ready()


async def test_listing_that_is_down_at_the_start_is_waited_for(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """The process lives and says what it waits for; products given by their ids are captured meanwhile."""
    exchange.handler = market = Market("BTC-USD", "BTC-EUR")
    port, listing = unused_port(), Listing(["BTC-EUR"])
    async with running(products=("BTC-USD", "quote:EUR"), rest_url=f"http://127.0.0.1:{port}") as run:
        await eventually(lambda: run.streamer.status.products.last_error)
        await eventually(lambda: market.subscribed(exchange) == [{"BTC-USD"}])
        assert (await run.get("/healthz"))[0] == 200
        (reason,) = (await run.get_json("/readyz"))["reasons"]
        assert reason.startswith(f"the products are not known yet: GET http://127.0.0.1:{port}/products: ")
        assert (await run.get_json("/status"))["products"]["resolved_at"] is None
        await market.trade(exchange, 1, "BTC-USD")
        async with listing.open(port):
            await eventually(lambda: market.subscribed(exchange) == [{"BTC-USD", "BTC-EUR"}])
            await run.eventually_ready()
            assert (await run.get_json("/status"))["products"]["last_error"] == ""
        await run.messages(1)
    lines = spool.seal()
    assert match_frame(1) in frames(lines)
    assert [detail["added"] for detail in control(lines, "pulse_products")] == [["BTC-EUR"]]


async def test_failed_refresh_keeps_the_products_and_shows(
    exchange: Exchange, listing: Listing, running: Run, spool: SpoolView
) -> None:
    """The feed goes on and stays ready, /status and a metric tell; a good answer with the same result is no record."""
    exchange.handler = market = Market("BTC-USD")
    listing.list("BTC-USD")
    async with running(products=("all",), rest_url=listing.url, products_refresh_seconds=0.02) as run:
        await run.eventually_ready()
        listing.answers = [Answer(200, b"[]"), *[Answer(503, b'{"message":"maintenance"}')] * 100_000]
        await eventually(lambda: "HTTP 503: maintenance" in run.streamer.status.products.last_error)
        assert not run.streamer.status.not_ready()
        assert "maintenance" in (await run.get_json("/status"))["products"]["last_error"]
        assert re.search(r"^pulse_streamer_product_listing_failing 1.0$", (await run.get("/metrics"))[1], re.MULTILINE)
        listing.answers.clear()
        await eventually(lambda: not run.streamer.status.products.last_error)
    assert market.subscribed(exchange) == [{"BTC-USD"}]
    assert len(control(spool.seal(), "pulse_products")) == 1


async def test_exchange_that_is_asked_too_often_is_given_time(start_simulator: StartSimulator, running: Run) -> None:
    """429 at the start is a listing that comes later."""
    simulator = await start_simulator()
    await simulator.inject("rest_error", status=429, count=2)
    url = f"http://127.0.0.1:{simulator.process.rest_port}"
    async with running(products=("all",), feed_url=simulator.feed_url, rest_url=url) as run:
        await eventually(lambda: "HTTP 429" in run.streamer.status.products.last_error)
        await run.eventually_ready()
    injected = (await simulator.get("/control/journal", kind="rest_error"))["injected"]
    assert len(injected) == 2


async def test_check_resolves_the_rules(exchange: Exchange, listing: Listing, start_process: Start) -> None:
    """The number of products, or status 1 and the variable to look at; without rules the listing does not matter."""
    listing.list("BTC-USD", "ETH-USD", "BTC-EUR")
    dead = f"http://127.0.0.1:{unused_port()}"
    good, unlisted, down, no_rules = await asyncio.gather(
        start_process("--check", products=("quote:USD",), rest_url=listing.url),
        start_process("--check", products=("quote:GBP",), rest_url=listing.url, streamer_id="two"),
        start_process("--check", products=("all",), rest_url=dead, streamer_id="three"),
        start_process("--check", rest_url=dead, streamer_id="four"),
    )
    assert "ok      products quote:USD: 2 by" in await output(good)
    assert "PULSE_PRODUCTS=quote:GBP" in await output(unlisted)
    assert "failed  products (PULSE_REST_URL=" in await output(down)
    assert "products" not in await output(no_rules)
    assert [process.child.returncode for process in (good, unlisted, down, no_rules)] == [0, 1, 1, 0]


async def output(process: Process) -> str:
    """Standard output of a process that ends by itself."""
    stdout, _ = await process.child.communicate()
    return stdout.decode()
