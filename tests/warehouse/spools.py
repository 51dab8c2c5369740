"""Spools with real segments: written, rotated and sealed by the product's own writer and sealer."""

import itertools
import time
from collections.abc import Iterable
from pathlib import Path

from include.spool import RecordEncoder, SegmentName, SegmentWriter, Session, Spool, State, seal_all

_second = itertools.count(1_790_000_000)


def match(trade_id: int, product_id: str = "BTC-USD", price: str = "63512.180", time_us: int = 0) -> bytes:
    """A trade as the exchange sends it."""
    return (
        b'{"type":"match","trade_id":%d,"maker_order_id":"6f1c9e6e-0a4e-4f43-9c33-2b9d4f3f6f10",'
        b'"taker_order_id":"0d9f6a3f-5a55-4d6c-8d34-6f0c3fe4b0aa","side":"sell","size":"0.00012000","price":"%b",'
        b'"product_id":"%b","sequence":%d,"time":"2026-07-07T22:58:16.%06dZ"}'
    ) % (trade_id, price.encode(), product_id.encode(), trade_id * 7, time_us or trade_id % 1_000_000)


def matches(count: int, first: int = 1) -> list[bytes]:
    """Trades with consecutive ids."""
    return [match(trade_id) for trade_id in range(first, first + count)]


def new_spool(folder: Path) -> Spool:
    """An empty spool for simulated data."""
    return Spool.open(folder / "spool", "simulated", create=True)


def write_segment(spool: Spool, frames: Iterable[bytes], streamer_id: str = "streamer-1") -> Session:
    """One session that wrote one segment and stopped; it waits to be sealed."""
    now_ns = next(_second) * 1_000_000_000 + time.time_ns() % 1_000_000_000
    session = Session.new(streamer_id, now_ns)
    encoder = RecordEncoder(session, itertools.count(now_ns, 1000).__next__)
    writer = SegmentWriter(spool, session, max_bytes=1 << 30, max_age_seconds=3600)
    writer.write(b"".join(encoder.frame(frame, connection_no=1).line for frame in frames))
    writer.close()
    return session


def sealed_segment(spool: Spool, frames: Iterable[bytes]) -> SegmentName:
    """As `write_segment`, and sealed."""
    session = write_segment(spool, frames)
    seal_all(spool, timeout_seconds=5)
    return next(name for name in spool.segments(State.SEALED) if name.session == session)
