"""Received records as they lie in raw, in batches, and windows over them."""

import datetime as dt
import json
import random
from collections.abc import Container, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from include.warehouse.table_specs import load_spec
from include.warehouse.window import Window

type Row = dict[str, Any]

TRADE_TYPES = ("match", "last_match", "rest_trade")


class LoadedBatch(NamedTuple):
    """The records of one load job, when it was done, and what the books say of them."""

    batch_id: str
    loaded_at: dt.datetime
    records: list[Row]
    transformed_at: dt.datetime | None = None
    dead_letters: Sequence[Row] = ()
    """As in ops.dead_letters."""
    drift: Sequence[Row] = ()
    """As in ops.drift_observations."""

    @property
    def sealed_at(self) -> dt.datetime:
        """When its one segment was sealed."""
        return self.loaded_at - dt.timedelta(seconds=30)

    def raw_rows(self) -> list[Row]:
        """As in raw.messages."""
        return [{**record, "batch_id": self.batch_id} for record in self.records]

    def ledger_row(self) -> Row:
        """As in the ledger, of which the marts read only when a batch was loaded."""
        received = [record["received_at"] for record in self.records]
        traded = _traded(self.records)
        return {
            "batch_id": self.batch_id,
            "source": "simulated",
            "table_id": "market-pulse.raw.messages",
            "composed_at": text(self.loaded_at),
            "dag_run_id": "test",
            "attempt": 1,
            "records": len(self.records),
            "bytes": 0,
            "received_at_min": min(received),
            "received_at_max": max(received),
            "loaded_at": text(self.loaded_at),
            "transformed_at": self.transformed_at and text(self.transformed_at),
            "segments": [
                {
                    "segment": f"{self.batch_id}.ndjson",
                    "streamer_id": self.records[0]["streamer_id"],
                    "session_id": self.records[0]["session_id"],
                    "segment_no": 1,
                    "first_record_no": self.records[0]["record_no"],
                    "last_record_no": self.records[-1]["record_no"],
                    "records": len(self.records),
                    "bytes": 0,
                    "sha256": "",
                    "received_at_min": min(received),
                    "received_at_max": max(received),
                    "traded_at_min": min(traded, default=None),
                    "traded_at_max": max(traded, default=None),
                    "sealed_at": text(self.sealed_at),
                }
            ],
        }


def text(instant: dt.datetime) -> str:
    """RFC 3339, UTC, six decimals."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def window(batches: Sequence[LoadedBatch]) -> dict[str, str]:
    """The variables of a window over whole batches."""
    records = [record for batch in batches for record in batch.records]
    received = [record["received_at"] for record in records]
    traded = _traded(records)
    return Window(
        batch_ids=tuple(batch.batch_id for batch in batches),
        records=len(records),
        received_at_min=min(received),
        received_at_max=max(received),
        traded_at_min=min(traded, default=None),
        traded_at_max=max(traded, default=None),
    ).to_environment()


def _traded(records: Iterable[Row]) -> list[str]:
    """The times of the trades these records tell of."""
    return [
        record["time"]
        for record in records
        if record["type"] in (*TRADE_TYPES, "ticker") and is_instant(record["time"])
    ]


class Session:
    """One run of a streamer: numbers what it receives."""

    def __init__(self, session_id: str, streamer_id: str = "streamer-1") -> None:
        self.session_id = session_id
        self.streamer_id = streamer_id
        self.records: list[Row] = []

    def receive(self, received_at: dt.datetime, message: Row) -> None:
        """Write a message down."""
        self.records.append(
            {
                "received_at": text(received_at),
                "streamer_id": self.streamer_id,
                "session_id": self.session_id,
                "record_no": len(self.records) + 1,
                "connection_no": 1,
                **message,
            }
        )

    def control(
        self, received_at: dt.datetime, control_type: str, product_id: str | None = None, **detail: Any
    ) -> None:
        """Write a control record."""
        of_product = {} if product_id is None else {"product_id": product_id}
        self.receive(received_at, {"type": control_type, **of_product, "detail": detail})


def heartbeat(product_id: str, last_trade_id: int, beat_at: dt.datetime) -> Row:
    """A heartbeat message."""
    return {
        "type": "heartbeat",
        "product_id": product_id,
        "last_trade_id": last_trade_id,
        "sequence": 2000 + last_trade_id,
        "time": text(beat_at),
    }


def product(product_id: str, **fields: Any) -> Row:
    """An entry of the exchange's list of products; `fields` replace what is made up."""
    base, _, quote = product_id.partition("-")
    return {
        "id": product_id,
        "base_currency": base,
        "quote_currency": quote,
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "display_name": f"{base}/{quote}",
        "min_market_funds": "1",
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "fx_stablecoin": False,
        "auction_mode": False,
        "trading_disabled": False,
        "status": "online",
        "status_message": "",
    } | fields


def match(product_id: str, trade_id: int, traded_at: dt.datetime, **fields: Any) -> Row:
    """A trade message; `fields` replace what is made up."""
    return {
        "type": "match",
        "product_id": product_id,
        "trade_id": trade_id,
        "sequence": 1000 + trade_id,
        "time": text(traded_at),
        "side": "buy",
        "price": "61234.12345678",
        "size": "1.12345678",
        "maker_order_id": f"maker-{trade_id}",
        "taker_order_id": f"taker-{trade_id}",
    } | fields


def busy_minutes(seed: int) -> list[LoadedBatch]:
    """Three products around the midnight between ISO week 53 and a new year, in some ten batches.

    Two streamers and a refill by REST. Late, repeated and lost messages, ties to the microsecond, tickers without
    a trade and trades without a ticker, books with an empty side, heartbeats, an outage, a product that hardly trades,
    a trade of days ago that a subscription repeats, and messages that do not cast.
    """
    choice = random.Random(seed)
    market = [
        *_Market("BTC-USD", 1, choice).trade(-240, 200),
        *_Market("ETH-USD", 1000, choice).trade(-100, 330),
        *_Market("XRP-USD", 77, choice, pauses=(900_000_000, 1_500_000_000)).trade(-3000, 2400),
    ]
    sessions = [
        _receive(market, "streamer-1", "20261231T230000Z-0000000a", choice, loss=0.03, outage=(-60, 20)),
        _receive(market, "streamer-2", "20261231T230000Z-0000000b", choice, loss=0.5, outage=(100, 4000)),
        _refill(market, "20270101T010000Z-0000000c", choice),
    ]
    for message in _misfits():
        sessions[0].receive(MIDNIGHT + dt.timedelta(hours=1), message)
    batches = [batch for session in sessions for batch in _batches(session, choice)]
    return [_with_findings(batches[0]), _with_findings(batches[1]), *batches[2:]]


MIDNIGHT = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)

#: Time and message, as the exchange sends them.
type Sent = tuple[dt.datetime, Row]


class _Market:
    """What the exchange says of one product."""

    def __init__(
        self,
        product_id: str,
        first_id: int,
        choice: random.Random,
        pauses: tuple[int, ...] = (0, 1, 999_999, 9_000_000),
    ) -> None:
        self.product_id = product_id
        self.trade_id = first_id - 1
        self.choice = choice
        self.pauses = pauses
        self.price = Decimal(choice.randrange(10**9, 10**12)).scaleb(-8)

    def trade(self, start: int, end: int) -> Iterator[Sent]:
        """Messages from `start` to `end`, in seconds from midnight; a heartbeat every twelve."""
        yield self._trade(MIDNIGHT - dt.timedelta(days=3))
        now, last = MIDNIGHT + dt.timedelta(seconds=start), MIDNIGHT + dt.timedelta(seconds=end)
        beat_at = now
        while now < last:
            for message in (self._trade(now), self._ticker(now)):
                if message[1]["type"] != "ticker" or self.choice.random() < 0.85:
                    yield message
            now += dt.timedelta(microseconds=self.choice.choice(self.pauses))
            while beat_at < now:
                yield beat_at, heartbeat(self.product_id, self.trade_id, beat_at)
                beat_at += dt.timedelta(seconds=12)

    def _trade(self, now: dt.datetime) -> Sent:
        self.trade_id += 1
        self.price += Decimal(self.choice.randrange(-(10**6), 10**6)).scaleb(-8)
        self.match = match(
            self.product_id,
            self.trade_id,
            now,
            side=self.choice.choice(("buy", "sell")),
            price=str(self.price),
            size=f"{self.choice.choice((0, 0, 3))}.{self.choice.randrange(1, 10**8):08}",
        )
        return now, self.match

    def _ticker(self, now: dt.datetime) -> Sent:
        bid, ask = (self.price + Decimal(step).scaleb(-8) for step in (-self.choice.randrange(10**5), 1))
        sizes = {side: self.choice.choice(("0", "0.00000001", "2.5", "1.33333333")) for side in ("bid", "ask")}
        return now, {
            "type": "ticker",
            "product_id": self.product_id,
            "trade_id": self.trade_id,
            "sequence": self.match["sequence"],
            "time": self.match["time"],
            "side": {"buy": "sell", "sell": "buy"}[self.match["side"]],
            "price": self.match["price"],
            "last_size": self.match["size"],
            "best_bid": str(bid),
            "best_ask": str(ask),
            **({} if self.choice.random() < 0.2 else {f"best_{side}_size": size for side, size in sizes.items()}),
            "open_24h": str(self.price + 1),
            "low_24h": str(self.price - 1),
            "high_24h": str(self.price + 2),
            "volume_24h": "1234.5",
            "volume_30d": "45678.9",
        }


def _receive(
    market: Iterable[Sent],
    streamer_id: str,
    session_id: str,
    choice: random.Random,
    *,
    loss: float,
    outage: tuple[int, int],
) -> Session:
    """One streamer's session: what it does not receive in its outage, it hears of by a last_match at most."""
    session = Session(session_id, streamer_id)
    away_from, away_to = (MIDNIGHT + dt.timedelta(seconds=second) for second in outage)
    arrivals: list[Sent] = []
    missed: dict[str, Row] = {}
    for sent_at, message in market:
        delay = dt.timedelta(milliseconds=choice.choice((5, 5, 20)))
        is_trade = message["type"] == "match"
        if sent_at < MIDNIGHT - dt.timedelta(days=1):
            arrivals.append((MIDNIGHT - dt.timedelta(hours=1), {**message, "type": "last_match"}))
        elif away_from <= sent_at < away_to:
            if is_trade:
                missed[message["product_id"]] = message
        elif choice.random() >= loss or message["type"] == "heartbeat":
            arrivals.append((sent_at + delay, message))
    arrivals += [(away_to, {**message, "type": "last_match"}) for message in missed.values()]
    session.control(MIDNIGHT - dt.timedelta(hours=1), "pulse_connected")
    session.control(MIDNIGHT - dt.timedelta(hours=1), "pulse_gap", "BTC-USD", first_missing=3, last_missing=5)
    for received_at, message in sorted(arrivals, key=lambda arrival: arrival[0]):
        session.receive(received_at, message)
    for minute, slowest_us in enumerate((21_000, 480_000, 9_000)):
        waits = {"durable_p50_us": 4_000 + minute, "durable_p95_us": slowest_us - 1, "durable_p99_us": slowest_us}
        session.control(MIDNIGHT + dt.timedelta(minutes=58 + minute), "pulse_commits", commits=99, **waits)
    session.control(MIDNIGHT + dt.timedelta(hours=1), "pulse_gap_closed", "BTC-USD", first=4, last=4)
    session.control(MIDNIGHT + dt.timedelta(hours=1), "pulse_disconnected", reason="closed")
    return session


def _refill(market: Iterable[Sent], session_id: str, choice: random.Random) -> Session:
    """What was fetched by REST an hour later: some trades, without orders, and the list of products."""
    session = Session(session_id, "rest-1")
    now = MIDNIGHT + dt.timedelta(hours=1)
    for status in ("online", "online", "delisted"):
        now += dt.timedelta(minutes=1)
        session.control(now, "pulse_product", product_id="ETH-USD", **product("ETH-USD", status=status))
    for sent_at, message in market:
        if message["type"] == "match" and sent_at > MIDNIGHT - dt.timedelta(days=1) and choice.random() < 0.3:
            now += dt.timedelta(milliseconds=1)
            unknown = ("maker_order_id", "taker_order_id", "sequence")
            known = {name: value for name, value in message.items() if name not in unknown}
            session.receive(now, known | {"type": "rest_trade"})
    return session


def _batches(session: Session, choice: random.Random) -> Iterator[LoadedBatch]:
    cuts = sorted(choice.sample(range(1, len(session.records)), 3))
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(session.records)], strict=True)):
        loaded_at = MIDNIGHT + dt.timedelta(hours=2, minutes=number, microseconds=choice.randrange(10**6))
        batch = LoadedBatch(f"{session.session_id[-1]}{number}", loaded_at, session.records[start:end])
        yield batch._replace(transformed_at=loaded_at + dt.timedelta(seconds=20)) if number == 1 else batch


def _misfits() -> Iterator[Row]:
    """Each lacks something, or has something that does not cast; of the last but one the rest is of use."""
    yield match("BTC-USD", 100_001, MIDNIGHT, price="a lot")
    yield match("BTC-USD", 100_002, MIDNIGHT, size="")
    yield match("BTC-USD", 100_003, MIDNIGHT, side="neither")
    yield match("BTC-USD", 100_004, MIDNIGHT, time="high noon")
    yield {**heartbeat("ETH-USD", 0, MIDNIGHT), "last_trade_id": None}
    yield {
        "type": "ticker",
        "product_id": "ETH-USD",
        "trade_id": 999,
        "time": text(MIDNIGHT),
        "side": "neither",
        "price": "1",
        "best_bid": "none",
        "best_ask": "2",
        "best_ask_size": "1e-3",
    }
    yield {"type": "malformed", "undecodable": "{"}


def _with_findings(batch: LoadedBatch) -> LoadedBatch:
    """A line that its load job refused, another that is kept undecoded and was sent again, and a new member."""
    letter = {
        "segment": f"{batch.batch_id}.ndjson",
        "line_no": 1,
        "record_no": batch.records[0]["record_no"],
        "batch_id": batch.batch_id,
        "received_at": batch.records[0]["received_at"],
        "reason": "refused",
        "error": "trade_id: no INTEGER",
        "line": "x" * 1001,
        "line_bytes": 1001,
        "is_loaded": False,
        "first_seen": text(batch.loaded_at),
        "redriven_to": None,
        "redriven_at": None,
    }
    undecodable = {
        "line_no": 2,
        "reason": "undecodable",
        "line": None,
        "is_loaded": True,
        "redriven_to": "redrive.ndjson",
        "redriven_at": text(batch.loaded_at),
    }
    drift = {
        "segment": f"{batch.batch_id}.ndjson",
        "type": "match",
        "field": "fee",
        "kind": "new",
        "count": 3,
        "first_line_no": 1,
        "example": batch.batch_id,
        "received_at_min": batch.records[0]["received_at"],
        "received_at_max": batch.records[-1]["received_at"],
    }
    return batch._replace(dead_letters=[letter, letter | undecodable], drift=[drift])


def is_instant(rfc3339: str) -> bool:
    """Whether it is a time at all."""
    try:
        dt.datetime.fromisoformat(rfc3339)
    except ValueError:
        return False
    return True


def recording(path: Path, session_id: str, received_at: dt.datetime) -> LoadedBatch:
    """Trades, tickers and heartbeats of a recording: one frame a line, bare or as `epoch: frame`."""
    columns = {field.name for field in load_spec("messages").schema}
    session = Session(session_id)
    for line in path.read_text("utf-8").splitlines():
        prefix, brace, rest = line.partition("{")
        if not brace or "<-" in prefix:
            continue  # a header, or a frame that was sent
        message = json.loads(brace + rest)
        if message["type"] in (*TRADE_TYPES, "ticker", "heartbeat"):
            received_at += dt.timedelta(milliseconds=1)
            session.receive(received_at, {name: value for name, value in message.items() if name in columns})
    return LoadedBatch(session_id, received_at, session.records)


def listing(path: Path, product_ids: Container[str], received_at: dt.datetime) -> LoadedBatch:
    """What a recorded answer of REST says of these products."""
    (reply,) = (line for line in path.read_text("utf-8").splitlines() if " -> " in line)
    session = Session("20210417T164337Z-0000002b", "rest-1")
    for entry in json.loads(reply[reply.index("[") :]):
        if entry["id"] in product_ids:
            session.control(received_at, "pulse_product", entry["id"], **entry)
    return LoadedBatch("listing", received_at, session.records)
