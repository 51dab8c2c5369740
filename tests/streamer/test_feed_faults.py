"""Everything an exchange and a network can do to the feed, done by the real simulator: survived, counted, visible.

After each fault the spool holds what every connection was sent, byte for byte and once, and the gap records name
exactly the trades that were made and never delivered.
"""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.simulator.running import Process, Simulator
from tests.streamer.support.running import Running
from tests.streamer.support.simulating import is_prefix, net_gaps, opened, sent_since, stored_by_connection, true_gaps
from tests.streamer.support.spool_view import Line, SpoolView
from tests.streamer.support.waiting import DEADLINE_SECONDS, eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]
Fault = dict[str, Any]

SEED = 20260707
PRODUCTS = ("BTC-USD", "ETH-USD")
PREFIX = "pulse_streamer_"


@dataclass(frozen=True)
class Case:
    """A fault, and how it shows."""

    faults: list[Fault]
    """Bodies of POST /control/faults."""
    metric: str
    """A metric with its labels, as in the exposition."""
    value: float = 1
    control: str = ""
    """Type of the control record that says so; empty where the frame itself, recorded as any, is what there is."""
    detail: Fault = field(default_factory=dict)
    """Members of that record."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the streamer."""
    loses_tail: bool = False
    """Whether frames that were sent cannot have arrived before the connection broke."""
    missing: int = 0
    """Trades that are missing for good."""
    gate: int = 0
    """A status that answers handshakes until the trades behind the fault are made."""


def ended(cause: str, *faults: Fault, **more: Any) -> Case:
    """A fault that costs the connection. Of the trades made meanwhile the next one begins with the last."""
    return Case(
        list(faults),
        f'reconnects_total{{cause="{cause}"}}',
        control="pulse_disconnected",
        detail={"reason": cause},
        missing=2,
        **more,
    )


def counted(type_: str, faults: list[Fault], product: str = "BTC-USD", value: float = 1, **more: Any) -> Case:
    """A frame that is recorded, and counted under its type."""
    return Case(faults, f'messages_total{{product="{product}",type="{type_}"}}', value, **more)


def gap(detected_by: str, faults: list[Fault], missing: int = 1, **more: Any) -> Case:
    """A fault that costs a trade."""
    metric = f'gaps_total{{detected_by="{detected_by}",product="BTC-USD"}}'
    return Case(faults, metric, control="pulse_gap", detail={"detected_by": detected_by}, missing=missing, **more)


SILENT = {"heartbeat_timeout_seconds": 1.5}
NOT_UTF8 = base64.b64encode(b'{"type":"match","x":"\xff"}').decode()

# Behind each fault three trades of BTC-USD are made at once: its numbers count on them.
CASES = {
    "cut in the middle of a frame": ended("closed", {"kind": "cut"}),
    "dropped": ended("closed", {"kind": "drop"}, gate=503),
    "silent": ended("silent", {"kind": "stall"}, settings=SILENT),
    "half-open": ended("silent", {"kind": "stall", "answer_pings": False}, settings=SILENT),
    "handshake refused with 500": ended("refused", {"kind": "drop"}, gate=500),
    "handshake refused with 429": ended("refused", {"kind": "drop"}, gate=429),
    "handshake refused with 503": ended("refused", {"kind": "drop"}, gate=503),
    "error": counted("error", [{"kind": "error_frame"}], product=""),
    "duplicates": Case(
        [{"kind": "duplicate", "copies": 2, "count": 2}], 'duplicate_trades_total{product="BTC-USD"}', 4
    ),
    "reordered": Case(
        [{"kind": "reorder", "distance": 2}],
        'late_trades_total{product="BTC-USD"}',
        control="pulse_gap_closed",
    ),
    "malformed": Case([{"kind": "malformed"}], "malformed_total"),
    "malformed instead of a trade": gap("trade_id", [{"kind": "malformed", "replace": True}]),
    "not UTF-8": Case([{"kind": "malformed", "base64": NOT_UTF8}], "malformed_total"),
    "line breaks": counted("match", [{"kind": "newline", "count": 3}], value=8),
    "large": counted("snapshot", [{"kind": "oversize", "size_bytes": 1_200_000}]),
    "too large": ended(
        "frame_too_big",
        {"kind": "oversize", "size_bytes": 100_000},
        settings={"frame_max_bytes": 65_536},
        loses_tail=True,
    ),
    "unknown type": counted("other", [{"kind": "unknown_type"}]),
    "new field": counted("match", [{"kind": "new_field"}], value=8),
    "37 trades in one microsecond": counted("match", [{"kind": "burst", "product_id": "BTC-USD"}], value=45),
    "skipped": gap("trade_id", [{"kind": "skip"}]),
    "several skipped": gap("trade_id", [{"kind": "skip", "count": 2}], missing=2),
    "skipped at the end": gap("heartbeat", [{"kind": "skip", "count": 3}], missing=3),
    "deploy": ended(
        "closed", {"kind": "close", "code": 1012}, gate=503, value=2, settings={"products_per_connection": 1}
    ),
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One quiet simulator for all: what is left of a fault is taken back after its test."""
    process = Process(
        tmp_path_factory.mktemp("simulator"), simulator_record_sent="true", simulator_products=",".join(PRODUCTS)
    ).start()
    yield process
    process.kill()


@pytest.fixture
async def simulator(process: Process) -> AsyncIterator[Simulator]:
    """The quiet simulator."""
    simulator = Simulator(process)
    async with simulator.session:
        yield await simulator.ready()
        await simulator.session.delete("/control/faults")


@dataclass
class Feed:
    """The feed of one streamer."""

    simulator: Simulator
    spool: SpoolView
    before: int
    """Connections opened before its first."""

    async def trades(self, number: int, product_id: str = "BTC-USD") -> int:
        """Make trades at once; the last id."""
        return (await self.simulator.burst(number, product_id))[-1]

    async def stored(self, *texts: str) -> None:
        """Wait until the spool has a line with these texts."""
        wanted = [text.encode() for text in texts]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(all(text in line for text in wanted) for line in self._lines()):
                await asyncio.sleep(0.02)

    def _lines(self) -> Iterator[bytes]:
        for path in sorted(self.spool.path.glob("*/*.ndjson")):
            yield from path.read_bytes().splitlines()

    async def last_trades(self) -> None:
        """Make a last trade of each product and wait until it is stored."""
        for product_id in PRODUCTS:
            trade_id = await self.trades(1, product_id)
            await self.stored(f'match","trade_id":{trade_id},', f'"product_id":"{product_id}"')

    async def judge(self, lines: list[Line], *, loses_tail: bool) -> None:
        """What was sent is stored; what is missing is named."""
        sent = await sent_since(self.simulator, self.before)
        stored = stored_by_connection(lines)
        last = max(stored)
        for number, found in stored.items():
            # Shards may open in another order than they are told of; what one got was sent to it alone.
            whole = next(frames for frames in sent if is_prefix(found, frames))
            sent.remove(whole)
            assert loses_tail or len(found) == len(whole) or number > last - len(PRODUCTS)
        for product_id in PRODUCTS:
            assert net_gaps(lines, product_id) == await true_gaps(self.simulator, lines, product_id)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_fault_is_survived_counted_and_visible(
    simulator: Simulator, running: Run, spool: SpoolView, case: Case
) -> None:
    """Nothing is lost that was sent, and the gap records are the true gaps."""
    feed = Feed(simulator, spool, await opened(simulator))
    settings = {"gap_grace_ms": 200} | case.settings
    async with running(feed_url=simulator.feed_url, products=PRODUCTS, **settings) as run:
        for product_id in PRODUCTS:
            await feed.stored('"type":"last_match"', product_id)
        first = await feed.trades(4)
        await feed.stored(f'"match","trade_id":{first},')
        if case.gate:
            await simulator.inject("refuse_handshake", status=case.gate, count=None)
        for fault in case.faults:
            await simulator.inject(**fault)
        await feed.trades(3)
        for value in case.detail.values():
            await feed.stored(f'"type":"{case.control}"', f'"{value}"')
        if case.gate:
            await simulator.session.delete("/control/faults")
        await run.eventually_ready()
        await feed.last_trades()
        _, metrics = await run.get("/metrics")
    lines = spool.seal()

    await feed.judge(lines, loses_tail=case.loses_tail)
    assert sum(net_gaps(lines, "BTC-USD").values()) == case.missing
    assert sum(net_gaps(lines, "ETH-USD").values()) == 0
    value = float(metrics.split(f"\n{PREFIX}{case.metric} ")[1].split("\n")[0])
    # How often a closed gate is tried is a matter of time.
    assert value >= case.value if case.gate else value == case.value
    told = [line.detail for line in lines if line.type == case.control]
    assert not case.control or any(case.detail.items() <= detail.items() for detail in told)


async def test_product_that_is_not_traded_is_refused_alone(
    simulator: Simulator, running: Run, spool: SpoolView
) -> None:
    """The acknowledgement is compared with the request: a metric and a record name what is missing, the rest flows."""
    feed = Feed(simulator, spool, await opened(simulator))
    async with running(feed_url=simulator.feed_url, products=(*PRODUCTS, "NO-SUCH")) as run:
        await feed.stored('"type":"pulse_subscribed"', "NO-SUCH")
        await feed.last_trades()
        _, metrics = await run.get("/metrics")
    lines = spool.seal()
    await feed.judge(lines, loses_tail=False)
    assert f"\n{PREFIX}refused_products 1.0\n" in metrics
    [answer] = [line.detail for line in lines if line.type == "pulse_subscribed"]
    assert all(channel["product_ids"] == ["NO-SUCH"] for channel in answer["refused"])
    assert answer["refused"]


async def test_reset_connection_keeps_a_prefix(simulator: Simulator, running: Run, spool: SpoolView) -> None:
    """RST may take frames with it that were sent: what arrived before is kept, the rest is a gap."""
    feed = Feed(simulator, spool, await opened(simulator))
    async with running(feed_url=simulator.feed_url, products=PRODUCTS) as run:
        await feed.last_trades()
        await feed.trades(500)
        await simulator.inject("drop", reset=True)
        await feed.stored('"type":"pulse_disconnected"')
        await run.eventually_ready()
        await feed.last_trades()
    await feed.judge(spool.seal(), loses_tail=True)


async def test_name_that_does_not_resolve_is_tried_again(running: Run, spool: SpoolView) -> None:
    """DNS is down: the streamer lives, counts each try and says why it is not ready."""
    async with running(feed_url="ws://feed.invalid", backoff_max_seconds=0.05) as run:
        failures = run.streamer.status
        await eventually(lambda: failures.last_error.startswith("name_resolution"))
        status, reasons = await run.get("/readyz")
        _, metrics = await run.get("/metrics")
        assert not run.task.done()
    assert (status, "name_resolution" in reasons) == (503, True)
    assert float(metrics.split('reconnects_total{cause="name_resolution"} ')[1].split("\n")[0]) >= 1
    assert {line.detail["reason"] for line in spool.seal() if line.type == "pulse_disconnected"} == {"name_resolution"}


ANY: list[Fault] = [
    {"kind": "cut"},
    {"kind": "drop"},
    {"kind": "close", "code": 1012},
    {"kind": "error_frame"},
    {"kind": "duplicate", "count": 20, "probability": 0.3},
    {"kind": "reorder", "count": 10, "distance": 3, "probability": 0.2},
    {"kind": "malformed", "count": 5},
    {"kind": "malformed", "count": 3, "replace": True, "probability": 0.1},
    {"kind": "newline", "count": 10},
    {"kind": "oversize", "size_bytes": 200_000},
    {"kind": "unknown_type", "count": 3, "message_type": "heartbeat"},
    {"kind": "new_field", "count": 10, "message_type": "ticker"},
    {"kind": "burst", "product_id": "ETH-USD", "trades": 37},
    {"kind": "skip", "count": 5, "probability": 0.2},
    {"kind": "refuse_handshake", "status": 429},
]


async def test_many_faults_at_a_high_rate(
    start_simulator: Callable[..., Awaitable[Simulator]], running: Run, spool: SpoolView
) -> None:
    """Faults upon faults, at random, while both products trade: the books are right in the end."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    simulator = await start_simulator(simulator_rate=500, simulator_products=",".join(PRODUCTS))
    feed = Feed(simulator, spool, 0)
    channels = ("matches", "ticker", "heartbeat")
    async with running(feed_url=simulator.feed_url, products=PRODUCTS, channels=channels, gap_grace_ms=500) as run:
        traffic = run.streamer.status.traffic
        for fault in chance.sample(ANY * 2, len(ANY) * 2):
            enough = traffic.messages + chance.randrange(1, 300)
            await eventually(lambda enough=enough: traffic.messages >= enough)  # type: ignore[misc]
            await simulator.inject(**fault)
        await simulator.session.delete("/control/faults")
        await run.eventually_ready()
        enough = traffic.messages + 1000
        await run.messages(enough)
    lines = spool.seal()

    await feed.judge(lines, loses_tail=False)
    assert sum(net_gaps(lines, "BTC-USD").values()) > 0
    assert len(stored_by_connection(lines)) > 5
    kinds = {line.type for line in lines}
    assert kinds >= {"pulse_gap", "pulse_gap_closed", "pulse_disconnected", "malformed", "snapshot", "error"}
