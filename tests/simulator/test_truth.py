"""The truth ledger holds exactly what was made, whatever happens to the process."""

import functools
from decimal import Decimal
from pathlib import Path

from tests.simulator.conftest import Connect, StartSimulator
from tests.simulator.running import Message, Simulator, command, eventually, free_ports

PRODUCTS = ("BTC-USD", "ETH-USD", "XRP-USD")


def as_truth(match: Message) -> Message:
    """A match in the words of the truth endpoint."""
    renamed = {**match, "maker_side": match["side"]}
    names = ("product_id", "trade_id", "sequence", "time", "maker_side", "price", "size", "maker_order_id")
    return {name: renamed[name] for name in (*names, "taker_order_id")}


async def test_truth_equals_what_was_sent(start_simulator: StartSimulator, connect_to: Connect) -> None:
    """Every match sent is in the truth with the same values, and the truth has no other in between."""
    simulator = await start_simulator(simulator_rate=400)
    client = await connect_to(simulator)
    await client.subscribe(*PRODUCTS, channels=("matches",))
    await client.until_types(500, "match")
    for product_id in PRODUCTS:
        sent = [as_truth(m) for m in client.of_type("last_match", "match") if m["product_id"] == product_id]
        first, last = sent[0]["trade_id"], sent[-1]["trade_id"]
        truth = [trade for trade in await simulator.truth(product_id) if first <= trade["trade_id"] <= last]
        assert truth == sent


async def test_summary_adds_up_the_trades_exactly(simulator: Simulator) -> None:
    """Count, bounds, volume and notional are those of the listed trades, also for a range of ids."""
    await simulator.burst(200)
    trades = await simulator.truth("BTC-USD")
    for parameters, chosen in [({}, trades), ({"from_id": 50, "to_id": 90}, trades[49:90])]:
        answer = await simulator.get("/truth/summary", product_id="BTC-USD", **parameters)
        (summary,) = answer["products"]
        assert (summary["trades"], summary["first_trade_id"], summary["last_trade_id"]) == (
            len(chosen),
            chosen[0]["trade_id"],
            chosen[-1]["trade_id"],
        )
        assert Decimal(summary["volume"]) == sum(Decimal(trade["size"]) for trade in chosen)
        assert Decimal(summary["notional"]) == sum(Decimal(t["price"]) * Decimal(t["size"]) for t in chosen)


async def test_ids_go_on_without_a_hole_after_kill_9(start_simulator: StartSimulator, connect_to: Connect) -> None:
    """What was sent before a kill is in the truth, and the next trade has the next id."""
    simulator = await start_simulator(simulator_rate=500)
    sent: dict[int, Message] = {}
    for _ in range(3):
        client = await connect_to(simulator)
        await client.subscribe("BTC-USD", channels=("matches",))
        await client.until_types(100, "match")
        simulator.process.kill()
        for match in client.of_type("last_match", "match"):
            assert as_truth(match) == sent.setdefault(match["trade_id"], as_truth(match))
        await simulator.start()
    truth = await simulator.truth("BTC-USD")
    assert [trade["trade_id"] for trade in truth] == list(range(1, len(truth) + 1))
    assert [trade["sequence"] for trade in truth] == sorted({trade["sequence"] for trade in truth})
    assert {trade_id: truth[trade_id - 1] for trade_id in sent} == sent


async def test_the_same_seed_makes_the_same_trades(start_simulator: StartSimulator, connect_to: Connect) -> None:
    """Prices, sizes, sides and order ids depend on the seed, not on the rate, a kill or other products."""
    killed = await start_simulator(simulator_rate=300, simulator_seed=7)
    await eventually(lambda: has_trades(killed, 60))
    killed.process.kill()
    await killed.start()
    await eventually(lambda: has_trades(killed, 150))
    steady = await start_simulator(
        killed.folder.with_name("steady"), simulator_rate=900, simulator_seed=7, simulator_products="BTC-USD"
    )
    other = await start_simulator(killed.folder.with_name("other"), simulator_rate=900, simulator_seed=8)
    for simulator in (steady, other):
        await eventually(functools.partial(has_trades, simulator, 150))
    first, second, third = [
        [
            [trade[name] for name in ("trade_id", "maker_side", "price", "size", "maker_order_id", "taker_order_id")]
            for trade in (await simulator.truth("BTC-USD"))[:150]
        ]
        for simulator in (killed, steady, other)
    ]
    assert first == second
    assert first != third


async def has_trades(simulator: Simulator, count: int) -> bool:
    """Whether BTC-USD has this many trades."""
    summary = await simulator.get("/truth/summary", product_id="BTC-USD")
    return bool(summary["products"][0]["trades"] >= count)


async def test_trading_goes_on_when_nobody_listens(start_simulator: StartSimulator) -> None:
    """Trades are made and recorded without any client."""
    simulator = await start_simulator(simulator_rate=200)
    before = (await simulator.get("/status"))["trades"]

    async def went_on() -> bool:
        return bool((await simulator.get("/status"))["trades"] >= before + 50)

    await eventually(went_on)
    assert (await simulator.get("/status"))["frames_sent"] == 0


async def test_a_new_ledger_begins_with_the_configured_history(start_simulator: StartSimulator) -> None:
    """Hours of past trades lie in the ledger from the start, at the configured rate, once."""
    simulator = await start_simulator(simulator_rate=1, simulator_history_hours=2, simulator_products="BTC-USD")
    trades = await simulator.truth("BTC-USD")
    assert 0.7 * 7200 < len(trades) < 1.3 * 7200
    simulator.process.kill()
    await simulator.start()
    again = await simulator.truth("BTC-USD")
    assert again[: len(trades)] == trades
    assert len(again) < len(trades) + 600


async def test_two_simulators_cannot_share_a_ledger(simulator: Simulator) -> None:
    """The second one ends with status 2 and says where the ledger is."""
    second = command(simulator_dir=simulator.folder, **free_ports())
    assert second.returncode == 2
    assert str(simulator.folder / "truth.sqlite3") in second.stderr


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Something else under the ledger's name is an error that names the file, not overwritten."""
    content = b"not a database, but long enough to be looked at" * 10
    path = tmp_path / "truth.sqlite3"
    path.write_bytes(content)
    ended = command(simulator_dir=tmp_path, **free_ports())
    assert ended.returncode == 2
    assert str(path) in ended.stderr
    assert path.read_bytes() == content
