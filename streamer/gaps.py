"""Which trades are missing: a pure observer of trade ids, told of every frame and of the time.

An exchange numbers the trades of a product 1, 2, 3 …, so that what was not delivered shows as a hole. `sequence` is
no such number: it is sparse on the channels captured here.

    baseline ──delivered──▶ ░░ open gap ░░ ──delivered──▶ newest ──claimed by a heartbeat──▶ (a gap after the grace)
"""

import enum
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from include.spool import Header

TRADES: Final = frozenset({"match", "last_match"})
HEARTBEAT: Final = "heartbeat"

#: The types that say something about trade ids; a ticker repeats the id of a match.
FOLLOWED: Final = TRADES | {HEARTBEAT}

#: An id further away than this is no loss: the busiest product needs about a hundred days for it.
MAX_JUMP: Final = 100_000_000

#: Ids are taken to have begun anew when heartbeats stay behind the newest known id for this long.
RESET_SECONDS: Final = 60.0

#: What a feed that went mad can cost in memory.
MAX_OPEN_INTERVALS: Final = 1000
MAX_PRODUCTS: Final = 10_000
_MAX_CLAIMS: Final = 4


class DetectedBy(enum.StrEnum):
    """What showed a gap."""

    TRADE_ID = "trade_id"
    """A trade jumped over others."""
    HEARTBEAT = "heartbeat"
    """A heartbeat named a trade that did not come within the grace."""
    LAST_MATCH = "last_match"
    """The newest trade at a subscription is not the one after the last."""
    RESTART = "restart"
    """The last trade known is an earlier session's, and the first one of this session is not the next."""


_DETECTED_BY: Final = {"match": DetectedBy.TRADE_ID, "last_match": DetectedBy.LAST_MATCH}


class Gap(NamedTuple):
    """Trades that are missing at this moment, both ends included."""

    product_id: str
    first: int
    last: int
    detected_by: DetectedBy


class GapClosed(NamedTuple):
    """Trades of a gap that came after all, both ends included."""

    product_id: str
    first: int
    last: int


class GapCount(NamedTuple):
    """Totals of one product since the start."""

    product_id: str
    gaps: Mapping[DetectedBy, int]
    missing: int
    """Trades in all gaps, whether they came later or not."""
    closed: int
    """Trades that came later."""
    duplicates: int
    """Trades delivered again, as a second connection does with every one."""
    implausible: int
    """Ids that were not believed: below 1, or too far from all others."""


class _Product:
    """One product. Every id from the baseline to `newest` was delivered or is, or was, in a gap."""

    __slots__ = (
        "_behind",
        "_claims",
        "_duplicate",
        "_missing",
        "_newest",
        "_product_id",
        "_recovered",
        "_strange",
        "closed",
        "duplicates",
        "gaps",
        "implausible",
        "missing",
    )

    def __init__(self, product_id: str, recovered: int | None = None, missing: Iterable[tuple[int, int]] = ()) -> None:
        self._product_id = product_id
        self._newest = recovered
        self._recovered = recovered is not None
        # Open intervals, ascending and disjoint.
        self._missing: list[tuple[int, int]] = []
        for first, last in missing:
            self._recover_gap(first, last)
        # Ids ahead of `newest` that heartbeats named, ascending, each with the time it was first heard of.
        self._claims: list[tuple[int, float]] = []
        # An id too far away to be believed until the next trade confirms it.
        self._strange: int | None = None
        # The last duplicate's id; and the newest id that heartbeats are behind, with the time since when.
        self._duplicate: int | None = None
        self._behind: tuple[int, float] | None = None
        self.gaps = dict.fromkeys(DetectedBy, 0)
        self.missing = 0
        self.closed = 0
        self.duplicates = 0
        self.implausible = 0

    def _recover_gap(self, first: int, last: int) -> None:
        """A gap of an earlier session. What lies beyond the ids known is of others, from before they began anew."""
        newest = self._newest
        if newest is None or first > newest + 1 or (self._missing and first <= self._missing[-1][1]):
            return
        self._newest = max(newest, last)
        self._missing.append((first, last))
        self._forget()

    def trade(self, trade_id: int | None, kind: str) -> Sequence[Gap | GapClosed]:
        newest = self._newest
        if newest is not None and trade_id == newest + 1:  # nearly always
            self._newest = trade_id
            self._recovered = False
            self._strange = None
            return ()
        if trade_id is None or trade_id < 1:
            self.implausible += 1
            return ()
        if newest is not None and abs(trade_id - newest) > MAX_JUMP:
            return self._far_away(trade_id, kind)
        if newest is not None and trade_id > newest:
            self._newest = trade_id
            return (self._open(newest + 1, trade_id - 1, _DETECTED_BY[kind]),)
        self._recovered = False
        self._strange = None
        if newest is not None:
            return self._old(trade_id)
        self._newest = trade_id
        return ()

    def heartbeat(self, last_trade_id: int | None, now: float, grace: float) -> Sequence[Gap]:
        # Some environments are said to always send 0.
        if last_trade_id is None or last_trade_id < 1:
            return ()
        if self._newest is not None and last_trade_id < self._newest:
            self._went_back(last_trade_id, self._newest, now)
        elif self._newest is None or last_trade_id - self._newest <= MAX_JUMP:
            self._claim(last_trade_id, now)
        return self.overdue(now, grace)

    def overdue(self, now: float, grace: float) -> Sequence[Gap]:
        """The gaps behind claims that were not met within the grace."""
        gaps = []
        claims = self._claims
        while claims:
            claimed, since = claims[0]
            newest = self._newest
            if newest is None or claimed > newest:
                if now - since <= grace:
                    break
                if newest is None:
                    self._newest = claimed
                elif claimed - newest <= MAX_JUMP:
                    self._newest = claimed
                    gaps.append(self._open(newest + 1, claimed, DetectedBy.HEARTBEAT))
            del claims[0]
        return gaps

    def _claim(self, last_trade_id: int, now: float) -> None:
        claims = self._claims
        self._behind = None
        if last_trade_id == self._newest or (claims and last_trade_id <= claims[-1][0]):
            return
        if len(claims) == _MAX_CLAIMS:
            claims.pop()
        claims.append((last_trade_id, now))

    def _open(self, first: int, last: int, detected_by: DetectedBy) -> Gap:
        if self._recovered:
            detected_by = DetectedBy.RESTART
        self._recovered, self._strange = False, None
        self._missing.append((first, last))
        self._forget()
        self.gaps[detected_by] += 1
        self.missing += last - first + 1
        return Gap(self._product_id, first, last, detected_by)

    def _old(self, trade_id: int) -> Sequence[GapClosed]:
        index = bisect_right(self._missing, (trade_id, math.inf)) - 1
        if index < 0 or trade_id > self._missing[index][1]:
            self.duplicates += 1
            self._duplicate = trade_id
            return ()
        first, last = self._missing[index]
        parts = ((first, trade_id - 1), (trade_id + 1, last))
        self._missing[index : index + 1] = [part for part in parts if part[0] <= part[1]]
        self._forget()
        self.closed += 1
        return (GapClosed(self._product_id, trade_id, trade_id),)

    def _forget(self) -> None:
        if len(self._missing) > MAX_OPEN_INTERVALS:
            del self._missing[0]

    def _far_away(self, trade_id: int, kind: str) -> Sequence[Gap | GapClosed]:
        """One such id is a fault of the sender; a second one near it means that the ids are elsewhere now."""
        strange = self._strange
        self._strange = trade_id
        if strange is None or abs(trade_id - strange) > MAX_JUMP:
            self.implausible += 1
            return ()
        self._begin_anew(strange)
        return self.trade(trade_id, kind)

    def _went_back(self, last_trade_id: int, newest: int, now: float) -> None:
        """An exchange that began to count anew delivers ids long known, names the last of them in its heartbeats, and
        does not come near the newest one. A heartbeat that is merely late names no such trade for so long."""
        if self._behind is None or self._behind[0] != newest:
            self._behind = newest, now
        elif now - self._behind[1] > RESET_SECONDS and last_trade_id == self._duplicate:
            self._begin_anew(last_trade_id)

    def _begin_anew(self, baseline: int) -> None:
        self._newest = baseline
        self._recovered = False
        self._missing.clear()
        self._claims.clear()
        self._strange = self._duplicate = self._behind = None


class GapTracker:
    """Follows the trades of every product over all connections of a session. No I/O, no clock of its own.

    After any deliveries, all gaps less all that closed are exactly the ids that were never delivered, from each
    product's baseline (the first id known of it) to its newest one, provided that

    - heartbeats ahead of the trades had their grace, and tick() was called since;
    - a product has at most MAX_OPEN_INTERVALS separate holes: the oldest are forgotten, and count as delivered;
    - ids stay within MAX_JUMP of each other, and are not begun anew by the exchange. Otherwise a new baseline is
      taken, without a gap, as soon as two trades, or a minute of heartbeats, confirm it.
    """

    def __init__(self, grace_seconds: float, recovered: Mapping[str, int] | None = None) -> None:
        """`grace_seconds` is how long a heartbeat may be ahead of the trades; `recovered` is for recover()."""
        self._grace = grace_seconds
        self._products: dict[str, _Product] = {}
        self.recover(recovered or {})

    def recover(
        self, trade_ids: Mapping[str, int], missing: Mapping[str, Sequence[tuple[int, int]]] | None = None
    ) -> None:
        """Take over the last trade ids of earlier sessions, and their open gaps, ascending, before the first frame;
        what is known already stays."""
        for product_id, trade_id in trade_ids.items():
            gaps = (missing or {}).get(product_id, ())
            self._products.setdefault(product_id, _Product(product_id, trade_id, gaps))

    def see(self, header: Header, now: float) -> Sequence[Gap | GapClosed]:
        """Take note of one frame of a type in FOLLOWED, whichever connection it came from; what it shows, in order.

        `now` is in seconds of a clock that never goes back.
        """
        product = self._products.get(header.product_id or "") or self._new(header.product_id)
        if product is None:
            return ()
        if header.type == HEARTBEAT:
            return product.heartbeat(header.last_trade_id, now, self._grace)
        return product.trade(header.trade_id, header.type)

    def tick(self, now: float) -> list[Gap]:
        """The gaps that show because time passed; to be called about once a second."""
        return [gap for product in self._products.values() for gap in product.overdue(now, self._grace)]

    def counts(self) -> Iterator[GapCount]:
        """Totals by product. May be called from another thread."""
        for product_id, product in list(self._products.items()):
            yield GapCount(
                product_id,
                dict(product.gaps),
                product.missing,
                product.closed,
                product.duplicates,
                product.implausible,
            )

    def _new(self, product_id: str | None) -> _Product | None:
        if not product_id or len(self._products) >= MAX_PRODUCTS:
            return None
        return self._products.setdefault(product_id, _Product(product_id))
