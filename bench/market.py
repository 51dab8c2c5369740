"""Made-up messages for a spool."""

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from include.spool import RecordEncoder, SegmentName, Session, Spool, State

#: Not captured by the stack's own streamer, so that trade ids cannot meet.
PRODUCTS = ("SOL-USD", "LTC-USD", "DOGE-USD")
_SPAN_SECONDS = 120

# As on the three channels of a streamer: a ticker for every trade, and a heartbeat now and then.
_MATCH = (
    '{"type":"match","trade_id":%(id)d,"maker_order_id":"6b380eba-fd1d-43a8-91a0-fdb06e6ce87f",'
    '"taker_order_id":"b3639a38-ae66-493c-96ba-d2319e503590","side":"buy","size":"0.16908161","price":"1774.92",'
    '"product_id":"%(product)s","sequence":%(sequence)d,"time":"%(time)s"}'
)
_TICKER = (
    '{"type":"ticker","trade_id":%(id)d,"sequence":%(sequence)d,"time":"%(time)s","product_id":"%(product)s",'
    '"price":"1774.92","open_24h":"1774.92","volume_24h":"123456.78901234","low_24h":"1700.01",'
    '"high_24h":"1800.02","volume_30d":"3012345.12345678","best_bid":"1774.91","best_bid_size":"0.12345678",'
    '"best_ask":"1774.93","best_ask_size":"1.23456789","side":"sell","last_size":"0.16908161"}'
)
_HEARTBEAT = (
    '{"type":"heartbeat","last_trade_id":%(id)d,"sequence":%(sequence)d,"time":"%(time)s","product_id":"%(product)s"}'
)
_CYCLE = (*(_MATCH, _TICKER) * 5, _HEARTBEAT)


class Market:
    """Made-up messages of the last minutes; trade ids go on from round to round, of each product without a hole."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._numbers = itertools.count(1)
        self.trades = 0
        """Written so far."""

    def write(self, records: int, *, span_seconds: int = _SPAN_SECONDS, segment_records: int | None = None) -> int:
        """So many records of the last `span_seconds`, left behind as by a streamer that has ended: in one segment, or
        in several of `segment_records`. How many bytes they are.

        The segments get their places when all are written: who seals meanwhile finds all of them or none.
        """
        now = time.time_ns()
        start, step = now - span_seconds * 1_000_000_000, span_seconds * 1_000_000_000 // records
        clock = itertools.count(start, step)
        session = Session.new("bench-1", now)
        encoder = RecordEncoder(session, lambda: next(clock))
        frames = itertools.islice(self._frames(start, step), records)
        with tempfile.TemporaryDirectory(dir=self._spool.root.parent) as folder:
            written = []
            while batch := list(itertools.islice(frames, segment_records or records)):
                name = SegmentName(session.streamer_id, session.session_id, len(written) + 1).file_name
                path = Path(folder) / name
                with path.open("wb") as file:
                    file.writelines(encoder.frame(frame.encode(), 1).line for frame in batch)
                    os.fsync(file.fileno())
                written.append(path)
            size = sum(path.stat().st_size for path in written)
            for path in written:
                path.rename(self._spool.folder(State.SEALING) / path.name)
        return size

    def _frames(self, start_ns: int, step_ns: int) -> Iterator[str]:
        values: dict[str, object] = {}
        for number, template in enumerate(itertools.cycle(_CYCLE)):
            if template is _MATCH:
                trade = next(self._numbers)
                self.trades += 1
                micros = (start_ns + number * step_ns) // 1000
                seconds, fraction = divmod(micros, 1_000_000)
                values = {
                    "id": 1000 + trade // len(PRODUCTS),
                    "product": PRODUCTS[trade % len(PRODUCTS)],
                    "sequence": 10_000 + 7 * trade,
                    "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:06d}Z",
                }
            yield template % values
