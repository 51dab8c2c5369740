"""A past of the fake exchange in a spool, as the streamer would have left it.

The trades are those of the simulator's own market and lie in its truth ledger; the messages are the simulator's, in its
order; the lines are the spool's. Only time passes faster than on the wall.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from include.spool import RecordEncoder, SegmentWriter, Session, Spool
from simulator import frames
from simulator.arrivals import Arrivals
from simulator.frames import Print
from simulator.instants import SECOND
from simulator.ledger import Ledger
from simulator.market import Market

#: How long a message is under way, in µs, at least and at most.
_UNDER_WAY = (4_000, 45_000)
_NO_LIMIT = 2**62


class Past(NamedTuple):
    """What is to have happened. Instants are microseconds since 1970, of whole seconds; ranges exclude their ends."""

    start: int
    end: int
    products: tuple[str, ...] = ("BTC-USD", "ETH-USD", "XRP-USD")
    trades_per_second: Decimal = Decimal(2)
    seed: int = 7
    outages: tuple[tuple[int, int], ...] = ()
    """While the streamer was away: what was sent meanwhile is lost."""
    beat_seconds: int = 1
    segment_seconds: int = 1800
    received_from: int = 0
    """What was sent earlier is traded and not received."""


def record(past: Past, ledger: Path, spool: Spool) -> None:
    """Trade on from what the ledger holds, and write down what would have been received, in segments to be sealed."""
    with Ledger(ledger) as truth:
        market = Market(past.products, past.seed, truth)
        market.open(past.start)
        arrivals = Arrivals(past.products, float(past.trades_per_second), seed=past.seed, start=past.start)
        receiver = _Receiver(past, spool, market)
        for second in range(past.start + SECOND, past.end + 1, SECOND):
            receiver.pass_time(second - SECOND)
            sweeps = [(at, market.walks[product_id].sweep(at)) for at, product_id in arrivals.due(second)]
            trades = [trade for _, sweep in sweeps for trade in sweep]
            truth.append(trades)
            receiver.receive_all(market.remember(trades))
            if second % (past.beat_seconds * SECOND) == 0:
                receiver.receive_beats(second)
        receiver.close()


class _Receiver:
    """One session of a streamer in the market's time."""

    def __init__(self, past: Past, spool: Spool, market: Market) -> None:
        self._past = past
        self._market = market
        self._random = Random(past.seed)
        self._now = 0
        self._connection_no = 0
        self._is_away = True
        self._last_ids: dict[str, int] = {}
        session = Session.new("simulated-1", max(past.start, past.received_from) * 1000)
        session = Session(session.streamer_id, f"{session.session_id[:-8]}{past.seed:08x}")
        self._encoder = RecordEncoder(session, lambda: self._now * 1000)
        self._writer = SegmentWriter(spool, session, _NO_LIMIT, _NO_LIMIT)
        self._segment_end = 0
        self._lines = bytearray()

    def pass_time(self, now: int) -> None:
        """Begin a second: outages begin and end here, and so do segments."""
        if now >= self._segment_end:
            self._flush()
            self._segment_end = now + self._past.segment_seconds * SECOND
        is_away = now < self._past.received_from or any(start <= now < end for start, end in self._past.outages)
        if is_away and not self._is_away:
            self._control("pulse_disconnected", {"reason": "network"})
        elif self._is_away and not is_away:
            self._connect(now)
        self._is_away = is_away

    def receive_all(self, prints: Iterable[Print]) -> None:
        """Match and ticker of each trade, in either order, as the simulator sends them."""
        for made in prints:
            if not self._is_away:
                pair = [frames.match(made.trade).data, self._ticker(made)]
                self._write(made.trade.time, pair if made.trade.maker_order_id[0] % 2 else pair[::-1])
                self._last_ids[made.trade.product_id] = made.trade.trade_id

    def receive_beats(self, second: int) -> None:
        """A heartbeat of each product."""
        if not self._is_away:
            self._write(second, list(self._beats(second)))

    def close(self) -> None:
        """End the session in order."""
        self._control("pulse_stopped", {"reason": "end"})
        self._flush()

    def _beats(self, second: int) -> Iterator[bytes]:
        for product_id, made in self._market.latest.items():
            sequence = self._market.walks[product_id].next_sequence(second)
            yield frames.heartbeat(product_id, made.trade.trade_id, sequence, second).data

    def _ticker(self, made: Print) -> bytes:
        return frames.ticker(self._market.products[made.trade.product_id], made).data

    def _connect(self, now: int) -> None:
        """Subscribe: the last match and ticker of each product are sent again."""
        self._now = max(self._now, now)
        self._connection_no += 1
        self._control("pulse_connected", {"url": "ws://127.0.0.1:9443", "attempt": 1})
        for product_id, made in self._market.latest.items():
            self._write(now, [frames.match(made.trade, "last_match").data, self._ticker(made)])
            missing = (self._last_ids.get(product_id, made.trade.trade_id) + 1, made.trade.trade_id - 1)
            if missing[0] <= missing[1]:
                detail = {"first_missing": missing[0], "last_missing": missing[1], "detected_by": "last_match"}
                self._control("pulse_gap", detail, product_id)
            self._last_ids[product_id] = made.trade.trade_id

    def _write(self, sent_at: int, messages: list[bytes]) -> None:
        self._now = max(self._now, sent_at + self._random.randint(*_UNDER_WAY))
        self._lines += self._encoder.frames(messages, self._connection_no)

    def _control(self, control_type: str, detail: dict[str, Any], product_id: str | None = None) -> None:
        self._lines += self._encoder.control(control_type, detail, self._connection_no, product_id).line

    def _flush(self) -> None:
        self._writer.write(self._lines)
        self._writer.close()
        self._lines.clear()
