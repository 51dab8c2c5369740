"""include.coinbase.rest: the client of the exchange's REST API against a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from include.coinbase import Product
from include.coinbase.rest import RestClient, RestMalformed, RestRefused, RestUnavailable
from include.coinbase.token_bucket import TokenBucket
from tests.streamer.support.listing import Answer, Listing, listed
from tests.streamer.support.running import unused_port


@pytest.fixture
async def listing() -> AsyncIterator[Listing]:
    """An exchange that lists one product."""
    async with Listing(["BTC-USD"]).open() as listing:
        yield listing


def client(url: str, **options: object) -> RestClient:
    """A client that does not wait long."""
    defaults: dict[str, object] = {"user_agent": "test", "max_wait_seconds": 0.01, "timeout_seconds": 5.0}
    return RestClient(url, **defaults | options)  # type: ignore[arg-type]


async def test_products_are_read_as_sent(listing: Listing) -> None:
    """Increments stay decimal strings; members nobody knows do not matter, those that may be absent either."""
    row = listed("ETH-BTC", base_increment="0.00000001", quote_increment="0.00001", new_member={"a": [1]})
    del row["min_market_funds"]
    listing.products = [row, listed("OLD-USD", status="delisted", trading_disabled=True)]
    async with client(listing.url) as rest:
        first, second = await rest.products()
    assert first == Product(
        id="ETH-BTC",
        base_currency="ETH",
        quote_currency="BTC",
        base_increment="0.00000001",
        quote_increment="0.00001",
        status="online",
        trading_disabled=False,
        display_name="ETH/BTC",
    )
    assert first.is_traded
    assert not second.is_traded


async def test_request_says_who_we_are(listing: Listing) -> None:
    """The exchange may block clients without a name."""
    async with client(listing.url, user_agent="pulse/1") as rest:
        await rest.products()
    assert listing.requests[0].headers["User-Agent"] == "pulse/1"


async def test_server_errors_are_tried_again(listing: Listing) -> None:
    """5xx passes by itself."""
    listing.answers = [Answer(500), Answer(503)]
    async with client(listing.url) as rest:
        assert len(await rest.products()) == 1
    assert len(listing.requests) == 3


async def test_attempts_have_a_limit(listing: Listing) -> None:
    """Then the last failure is raised, with address, status and the exchange's own words."""
    listing.answers = [Answer(502, b'{"message":"maintenance"}')] * 10
    async with client(listing.url, attempts=3) as rest:
        with pytest.raises(RestUnavailable, match=r"GET http://\S+/products: HTTP 502: maintenance"):
            await rest.products()
    assert len(listing.requests) == 3


async def test_server_that_comes_up_late_is_found() -> None:
    """A refused connection is tried again."""
    port, listing = unused_port(), Listing(["BTC-USD"])
    async with client(f"http://127.0.0.1:{port}", attempts=1_000) as rest:
        products = asyncio.create_task(rest.products())
        done, _ = await asyncio.wait([products], timeout=0.1)
        assert not done
        async with listing.open(port):
            assert [product.id for product in await products] == ["BTC-USD"]


async def test_server_that_hangs_is_given_up() -> None:
    """Every attempt has a time limit, and the error says which."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, client(f"http://127.0.0.1:{port}", attempts=2, timeout_seconds=0.05) as rest:
        with pytest.raises(RestUnavailable, match=r"no answer within 0\.05 s"):
            await rest.products()


async def test_too_many_requests_pause_everybody(listing: Listing) -> None:
    """Retry-After holds back all clients of the bucket, and no longer than that."""
    listing.answers = [Answer(429, headers={"Retry-After": "1"})]
    bucket = TokenBucket()
    async with client(listing.url, bucket=bucket) as one, client(listing.url, bucket=bucket) as other:
        first = asyncio.create_task(one.products())
        while not listing.requests:
            await asyncio.sleep(0.001)
        await asyncio.wait([first], timeout=0.1)
        await asyncio.gather(first, other.products())
    refused_at, *later = listing.requested_at
    assert all(0.99 < at - refused_at < 10 for at in later)
    assert len(later) == 2


async def test_refusal_is_not_tried_again(listing: Listing) -> None:
    """A 4xx answer stays the same however often one asks."""
    listing.answers = [Answer(404, b'{"message":"NotFound"}')]
    async with client(listing.url) as rest:
        with pytest.raises(RestRefused, match="HTTP 404: NotFound") as raised:
            await rest.products()
    assert raised.value.status == 404
    assert len(listing.requests) == 1


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b"[]", b'[{"id":"BTC-USD"}]', b'[{"id":"\xff"}]'], ids=lambda body: body.decode("latin1")
)
async def test_answer_of_another_shape_is_an_error(listing: Listing, body: bytes) -> None:
    """What is no listing is not taken for an empty one."""
    listing.answers = [Answer(200, body)]
    async with client(listing.url) as rest:
        with pytest.raises(RestMalformed, match="/products"):
            await rest.products()


async def test_bucket_gives_a_burst_and_then_the_rate() -> None:
    """`burst` turns at once, the rest spaced by the rate; the order is that of asking."""
    bucket, loop = TokenBucket(rate=20, burst=3), asyncio.get_running_loop()
    turns: list[tuple[int, float]] = []

    async def take(number: int) -> None:
        await bucket.turn()
        turns.append((number, loop.time()))

    started = loop.time()
    await asyncio.gather(*(take(number) for number in range(7)))
    assert [number for number, _ in turns] == list(range(7))
    assert turns[3][1] - started > 0.045
    assert turns[6][1] - started > 0.195
    assert all(later - earlier > 0.03 for (_, earlier), (_, later) in pairwise(turns[3:]))
