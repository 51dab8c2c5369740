"""REST answers as the exchange does, and agrees with the truth."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.simulator.conftest import StartSimulator
from tests.simulator.running import UNLIMITED, Message, Simulator


@pytest.fixture
async def unlimited(start_simulator: StartSimulator) -> Simulator:
    """A quiet simulator without a rate limit."""
    return await start_simulator(**UNLIMITED)


async def test_products_are_listed_with_increments(shared_simulator: Simulator) -> None:
    """/products has the members that a product dimension needs; one product is the same object."""
    listed = await shared_simulator.get("/products")
    assert [product["id"] for product in listed] == ["BTC-USD", "ETH-USD", "XRP-USD"]
    assert listed[0] == await shared_simulator.get("/products/BTC-USD")
    assert listed[0]["base_currency"] == "BTC"
    assert listed[0]["quote_currency"] == "USD"
    assert listed[0]["quote_increment"] == "0.01"
    assert listed[0]["base_increment"] == "0.00000001"
    assert listed[0]["status"] == "online"


@pytest.mark.parametrize("path", ["", "/trades", "/candles", "/stats", "/ticker"])
async def test_an_unknown_product_is_not_found(shared_simulator: Simulator, path: str) -> None:
    """404 with the exchange's message."""
    async with shared_simulator.session.get(f"/products/NO-PE{path}") as response:
        assert response.status == 404
        assert await response.json() == {"message": "NotFound"}


async def test_paging_by_after_walks_exactly_the_interval(unlimited: Simulator) -> None:
    """Pages below a bound, newest first, give every trade of an open interval once."""
    await unlimited.burst(250)
    lower, upper = 17, 231
    walked: list[Message] = []
    after = upper
    while after > lower + 1:
        async with unlimited.session.get(
            "/products/BTC-USD/trades", params={"limit": "40", "after": str(after)}
        ) as response:
            page = await response.json()
            assert response.headers["cb-before"] == str(page[0]["trade_id"])
            after = int(response.headers["cb-after"])
        walked += [trade for trade in page if trade["trade_id"] > lower]
    assert [trade["trade_id"] for trade in walked] == list(range(upper - 1, lower, -1))
    truth = {trade["trade_id"]: trade for trade in await unlimited.truth("BTC-USD")}
    for trade in walked:
        true = truth[trade["trade_id"]]
        assert list(trade) == ["trade_id", "side", "size", "price", "time"]
        assert (trade["side"], trade["time"]) == (true["maker_side"], true["time"])
        assert (Decimal(trade["price"]), Decimal(trade["size"])) == (Decimal(true["price"]), Decimal(true["size"]))


async def test_trades_without_bounds_are_the_newest(unlimited: Simulator) -> None:
    """The default page is the newest 1,000; before= serves from the newest end; past the oldest there is nothing."""
    await unlimited.burst(1200)
    page = await unlimited.get("/products/BTC-USD/trades")
    assert [trade["trade_id"] for trade in page] == list(range(1201, 201, -1))
    newer = await unlimited.get("/products/BTC-USD/trades", before=1000, limit=5)
    assert [trade["trade_id"] for trade in newer] == [1201, 1200, 1199, 1198, 1197]
    assert await unlimited.get("/products/BTC-USD/trades", after=1) == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=-1", "before=1.5", "limit=99999999999999999999"]
)
async def test_bad_paging_is_refused(shared_simulator: Simulator, query: str) -> None:
    """400 with a message, never a guess."""
    async with shared_simulator.session.get(f"/products/BTC-USD/trades?{query}") as response:
        assert response.status == 400
        assert (await response.json())["message"]


async def test_more_than_the_burst_at_once_is_refused_with_429(start_simulator: StartSimulator) -> None:
    """A token bucket: the burst passes, then 429, later again as many as the rate allows; truth is not limited."""
    simulator = await start_simulator(simulator_rest_rate=2, simulator_rest_burst=5)

    async def status(path: str) -> int:
        async with simulator.session.get(path) as response:
            body = await response.json()
            assert response.status == 200 or body == {"message": "Public rate limit exceeded"}
            return response.status

    statuses = [await status("/products/BTC-USD/trades?limit=1") for _ in range(12)]
    assert statuses[:5] == [200] * 5
    assert statuses[5:].count(429) >= 5
    assert {await status("/truth/summary") for _ in range(20)} == {200}
    async with asyncio.timeout(10):
        while await status("/time") == 429:
            await asyncio.sleep(0.05)


async def test_candles_equal_the_truth_recomputed(start_simulator: StartSimulator) -> None:
    """Low, high, open, close and volume of each interval, newest first, empty intervals left out."""
    simulator = await start_simulator(
        simulator_rate="0.02", simulator_history_hours=6, simulator_products="BTC-USD", **UNLIMITED
    )
    trades = await simulator.truth("BTC-USD")
    for granularity in (60, 300, 3600):
        by_start: dict[int, list[Message]] = {}
        for trade in trades:
            second = int(datetime.fromisoformat(trade["time"]).timestamp())
            by_start.setdefault(second // granularity * granularity, []).append(trade)
        bounds = min(by_start), min(min(by_start) + 299 * granularity, max(by_start))
        expected = [
            [
                start,
                min(Decimal(trade["price"]) for trade in inside),
                max(Decimal(trade["price"]) for trade in inside),
                Decimal(inside[0]["price"]),
                Decimal(inside[-1]["price"]),
                sum(Decimal(trade["size"]) for trade in inside),
            ]
            for start, inside in sorted(by_start.items(), reverse=True)
            if start <= bounds[1]
        ]
        start, end = (datetime.fromtimestamp(bound, UTC).isoformat() for bound in bounds)
        async with simulator.session.get(
            "/products/BTC-USD/candles", params={"granularity": str(granularity), "start": start, "end": end}
        ) as response:
            candles = json.loads(await response.text(), parse_float=Decimal)
        assert candles == expected
    assert len(expected) >= 6


@pytest.mark.parametrize(
    "query",
    [
        "granularity=61",
        "start=2026-01-01T00:00:00Z",
        "granularity=60&start=2026-01-01T00:00:00Z&end=2026-01-01T05:00:00Z",
        "start=yesterday&end=today",
    ],
)
async def test_candles_that_cannot_be_had_are_refused(shared_simulator: Simulator, query: str) -> None:
    """Unknown granularity, one bound alone, 301 intervals, and what is no time get 400."""
    async with shared_simulator.session.get(f"/products/BTC-USD/candles?{query}") as response:
        assert response.status == 400


async def test_300_candles_are_not_too_many(shared_simulator: Simulator) -> None:
    """Both ends count: 299 minutes apart are 300 candles."""
    await shared_simulator.get(
        "/products/BTC-USD/candles", granularity=60, start="2026-01-01T00:00:00Z", end="2026-01-01T04:59:00Z"
    )


async def test_stats_and_ticker_follow_the_trades(start_simulator: StartSimulator) -> None:
    """24-hour figures are those of the trades of the last day, exact; the ticker shows the newest trade."""
    simulator = await start_simulator(simulator_rate="0.01", simulator_history_hours=30, simulator_products="BTC-USD")
    await simulator.burst(3)
    trades = await simulator.truth("BTC-USD")
    newest = trades[-1]
    last_minute = int(datetime.fromisoformat(newest["time"]).timestamp()) // 60
    day = [t for t in trades if int(datetime.fromisoformat(t["time"]).timestamp()) // 60 > last_minute - 24 * 60]
    assert len(day) < len(trades)
    prices = [Decimal(trade["price"]) for trade in day]
    stats = {name: Decimal(value) for name, value in (await simulator.get("/products/BTC-USD/stats")).items()}
    assert stats == {
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "last": prices[-1],
        "volume": sum(Decimal(trade["size"]) for trade in day),
        "volume_30day": sum(Decimal(trade["size"]) for trade in trades),
    }
    ticker = await simulator.get("/products/BTC-USD/ticker")
    assert (ticker["trade_id"], ticker["price"], ticker["time"]) == (
        newest["trade_id"],
        newest["price"],
        newest["time"],
    )
    assert Decimal(ticker["bid"]) < Decimal(ticker["ask"])
    simulator.process.kill()
    await simulator.start()
    assert {n: Decimal(v) for n, v in (await simulator.get("/products/BTC-USD/stats")).items()} == stats


async def test_time_is_now(shared_simulator: Simulator) -> None:
    """/time in both forms."""
    now = await shared_simulator.get("/time")
    assert abs(now["epoch"] - datetime.now(UTC).timestamp()) < 10
    assert datetime.fromisoformat(now["iso"]).timestamp() == now["epoch"]
