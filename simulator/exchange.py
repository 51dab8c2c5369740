"""The made-up market: trades are drawn, recorded, then told. It goes on when nobody listens, as the real one does."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

from include.config import SimulatorConfig
from simulator import frames
from simulator.arrivals import Arrivals
from simulator.catalogue import Product
from simulator.connection import Connection
from simulator.frames import Frame, Print, Topic
from simulator.hub import Hub
from simulator.injector import Injector
from simulator.instants import SECOND, Clock
from simulator.ledger import Ledger
from simulator.market import Market
from simulator.rolling import HOUR
from simulator.subscription import Subscription
from simulator.trade import Trade

#: Trades reach clients within this time of being made, in µs: one commit and one write for all of them.
_TICK = 10_000

#: Taker orders taken in at once: keeps batches small when the configured rate is more than the machine can do.
_MAX_SWEEPS = 1_000


class Exchange:
    """Source of simulated trades."""

    def __init__(self, config: SimulatorConfig, ledger: Ledger, hub: Hub, injector: Injector) -> None:
        """An empty ledger is first filled with the hours of history that are configured."""
        self._clock = Clock()
        self._ledger = ledger
        self._hub = hub
        self._injector = injector
        self._random = Random(config.simulator_seed)
        self._bursts: list[tuple[str, int, asyncio.Future[list[Trade]]]] = []
        self._market = Market(config.simulator_products, config.simulator_seed, ledger)
        now = self._clock.now()
        start = now if self._market.latest else now - config.simulator_history_hours * HOUR
        self._market.open(start)
        self._arrivals = Arrivals(
            config.simulator_products, float(config.simulator_rate), seed=config.simulator_seed, start=start
        )
        self._market.make_history(self._arrivals, start, now)

    @property
    def products(self) -> Mapping[str, Product]:
        """Every product, by id."""
        return self._market.products

    def latest(self, product_id: str) -> Print | None:
        """The newest trade told to clients."""
        return self._market.latest.get(product_id)

    def status(self) -> dict[str, Any]:
        """Trades are counted from the first start of this ledger on, and only what was told."""
        return {
            "mode": "simulated",
            "trades": sum(made.trade.trade_id for made in self._market.latest.values()),
            "finished": False,
        }

    def receive(self, connection: Connection, message: str | bytes) -> None:
        """Answer, then send what a subscription begins with: the last match and the last ticker of each product."""
        answers, granted = Subscription(self.products, connection.topics, self._random).handle(message)
        connection.answer(answers)
        if granted:
            connection.send([frame for topic in granted if (frame := self._greeting(topic))])
            self._hub.mark_subscribed(connection)

    async def burst(self, product_id: str, trades: int) -> list[Trade]:
        """Make a sweep of this length as soon as possible; returns it when it has been told."""
        told: asyncio.Future[list[Trade]] = asyncio.get_running_loop().create_future()
        self._bursts.append((product_id, trades, told))
        return await told

    async def run(self) -> None:
        """Trade until cancelled."""
        loop = asyncio.get_running_loop()
        second = self._clock.now() // SECOND + 1
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger") as executor:
            while True:
                wake_at = min(self._clock.now() // _TICK * _TICK + _TICK, second * SECOND)
                await asyncio.sleep(max(0, wake_at - self._clock.now()) / SECOND)
                now = self._clock.now()
                bursts, self._bursts = self._bursts, []
                due = itertools.islice(self._arrivals.due(now), _MAX_SWEEPS)
                sweeps = [self._market.walks[product_id].sweep(at) for at, product_id in due]
                made = [self._market.walks[product_id].sweep(now, length) for product_id, length, _ in bursts]
                trades = [trade for sweep in (*sweeps, *made) for trade in sweep]
                if trades:
                    await loop.run_in_executor(executor, self._ledger.append, trades)
                    self._tell(self._market.remember(trades))
                for (_, _, told), sweep in zip(bursts, made, strict=True):
                    told.set_result(list(sweep))
                if now >= second * SECOND:
                    self._beat(now // SECOND * SECOND)
                    second = now // SECOND + 1

    def _tell(self, prints: Iterable[Print]) -> None:
        if self._hub.subscribed():
            self._hub.publish(self._injector.apply([frame for made in prints for frame in self._frames(made)]))

    def _frames(self, made: Print) -> tuple[Frame, Frame]:
        """Match and ticker come in either order on the real feed; the trade's own random bits decide here."""
        pair = (frames.match(made.trade), frames.ticker(self.products[made.trade.product_id], made))
        return pair if made.trade.maker_order_id[0] % 2 else (pair[1], pair[0])

    def _beat(self, at: int) -> None:
        if self._hub.subscribed():
            beats = [
                frames.heartbeat(product_id, made.trade.trade_id, self._market.walks[product_id].next_sequence(at), at)
                for product_id, made in self._market.latest.items()
            ]
            self._hub.publish(self._injector.apply(beats))

    def _greeting(self, topic: Topic) -> Frame | None:
        channel, product_id = topic
        made = self._market.latest[product_id]
        if channel == "matches":
            return frames.match(made.trade, "last_match")._replace(topic=topic)
        return frames.ticker(self.products[product_id], made) if channel == "ticker" else None
