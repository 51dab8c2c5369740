"""Counting what was received: by type and product, and how fast."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from include.spool import MALFORMED, Header

#: Types with a label of their own; all else the feed may send is counted as OTHER, so that it cannot grow the metrics.
KNOWN_TYPES = frozenset(
    {
        "match",
        "last_match",
        "ticker",
        "heartbeat",
        "l2update",
        "snapshot",
        "status",
        "subscriptions",
        "error",
        MALFORMED,
    }
)
OTHER = "other"

#: Types whose `time` is the moment they were sent: a ticker or last_match may repeat an old one.
_TIMELY_TYPES = frozenset({"heartbeat", "match"})

RATE_WINDOW_SECONDS = 10.0

#: Reading and filing a lag costs as much as encoding a record: a hundred a second are enough.
LAG_SAMPLE_INTERVAL_US = 10_000

_MALFORMED_CELL = (MALFORMED, None)


class Count(NamedTuple):
    """Totals of one type and product since the start. `product` is empty for frames without one."""

    type: str
    product: str
    messages: int
    bytes: int


class Traffic:
    """Totals and rate of received frames, control records not included. Used on the event loop only."""

    def __init__(self, products: Iterable[str], observe_lag: Callable[[float], None]) -> None:
        """`observe_lag` is told, for a sample of messages, how long they took from the exchange to us, in seconds."""
        self._observe_lag = observe_lag
        self._next_lag_us = 0
        self._products = frozenset(products)
        self._cells: dict[tuple[str, str | None], list[int]] = {}
        self._samples: deque[tuple[float, int]] = deque()

    def know(self, products: Iterable[str]) -> None:
        """Give these products labels of their own from now on, besides those that have one."""
        self._products |= frozenset(products)

    def count(self, frames: Sequence[bytes], headers: Sequence[Header | None], received_at_us: int) -> None:
        """Count frames that were received at once; one without a header is malformed."""
        cells = self._cells
        for frame, header in zip(frames, headers, strict=True):
            key = (header.type, header.product_id) if header is not None else _MALFORMED_CELL
            cell = cells.get(key) or self._cell(*key)
            cell[0] += 1
            cell[1] += len(frame)
        if received_at_us >= self._next_lag_us:
            self._take_lag(headers, received_at_us)

    def _take_lag(self, headers: Iterable[Header | None], received_at_us: int) -> None:
        for header in headers:
            if header is not None and header.type in _TIMELY_TYPES and header.time is not None:
                lag = lag_seconds(header.time, received_at_us)
                if lag is not None:
                    self._observe_lag(lag)
                    self._next_lag_us = received_at_us + LAG_SAMPLE_INTERVAL_US
                    return

    def _cell(self, type_: str, product_id: str | None) -> list[int]:
        known_type = type_ if type_ in KNOWN_TYPES else OTHER
        known_product = self.label(product_id) if product_id else None
        return self._cells.setdefault((known_type, known_product), [0, 0])

    def label(self, product_id: str) -> str:
        """What metrics call a product: a bounded number of names, whatever the feed sends."""
        return product_id if product_id in self._products else OTHER

    def counts(self) -> Iterator[Count]:
        """Totals by type and product. May be called from another thread."""
        for (type_, product), (messages, size) in list(self._cells.items()):
            yield Count(type_, product or "", messages, size)

    @property
    def messages(self) -> int:
        """All frames since the start."""
        return sum(messages for messages, _ in list(self._cells.values()))

    def sample(self, now: float | None = None) -> None:
        """Note the total for the rate; to be called about once a second (`now` in monotonic seconds)."""
        now = time.monotonic() if now is None else now
        self._samples.append((now, self.messages))
        while len(self._samples) > 2 and self._samples[1][0] <= now - RATE_WINDOW_SECONDS:
            self._samples.popleft()

    def messages_per_second(self) -> float:
        """Mean rate over the last 10 s of samples."""
        if len(self._samples) < 2:
            return 0.0
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - start)


def lag_seconds(exchange_time: str, received_at_us: int) -> float | None:
    """Seconds between an RFC 3339 time and a receipt; None when it is no time with an offset."""
    try:
        sent_at = datetime.fromisoformat(exchange_time)
    except ValueError:
        return None
    if sent_at.tzinfo is None:
        return None
    return received_at_us / 1_000_000 - sent_at.timestamp()
