"""Which trades the tracker calls missing, against an oracle that only counts what was delivered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.spool import Header
from streamer.gaps import (
    MAX_JUMP,
    MAX_OPEN_INTERVALS,
    MAX_PRODUCTS,
    RESET_SECONDS,
    DetectedBy,
    Gap,
    GapClosed,
    GapCount,
    GapTracker,
)

GRACE = 2.0
BTC = "BTC-USD"


class Feed:
    """A tracker, the time, and what the tracker said so far."""

    def __init__(self, recovered: dict[str, int] | None = None) -> None:
        self.tracker = GapTracker(GRACE, recovered)
        self.now = 1000.0
        self.said: list[Gap | GapClosed] = []

    def match(self, *trade_ids: int, product_id: str = BTC) -> None:
        """Deliver trades."""
        for trade_id in trade_ids:
            self._see(Header("match", product_id, trade_id))

    def last_match(self, trade_id: int, product_id: str = BTC) -> None:
        """Deliver the newest trade before a subscription."""
        self._see(Header("last_match", product_id, trade_id))

    def heartbeat(self, last_trade_id: int | None, product_id: str = BTC) -> None:
        """Deliver a heartbeat."""
        self._see(Header("heartbeat", product_id, last_trade_id=last_trade_id))

    def _see(self, header: Header) -> None:
        self.said += self.tracker.see(header, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, and the tracker notice."""
        self.now += seconds
        self.said += self.tracker.tick(self.now)

    def missing(self, product_id: str = BTC) -> set[int]:
        """All gaps less all that closed. No id is missing twice, none comes that was not missing."""
        missing: set[int] = set()
        for said in self.said:
            if said.product_id == product_id:
                ids = set(range(said.first, said.last + 1))
                assert ids
                if isinstance(said, Gap):
                    assert not ids & missing
                    missing |= ids
                else:
                    assert ids <= missing
                    missing -= ids
        return missing

    def count(self, product_id: str = BTC) -> GapCount:
        """The tracker's own totals."""
        return next(count for count in self.tracker.counts() if count.product_id == product_id)


def gap(first: int, last: int, detected_by: DetectedBy = DetectedBy.TRADE_ID) -> Gap:
    """A gap of the product that the examples are about."""
    return Gap(BTC, first, last, detected_by)


def closed(trade_id: int) -> GapClosed:
    """A trade of that product that came after all."""
    return GapClosed(BTC, trade_id, trade_id)


# ---------------------------------------------------------------------- the law

PRODUCTS = (BTC, "ETH-USD")
ids = st.integers(1, 40)
anything = st.tuples(
    st.sampled_from(["match"] * 4 + ["last_match", "heartbeat", "wait"]), st.sampled_from(PRODUCTS), ids
)


@given(first=st.tuples(ids, ids), steps=st.lists(anything, max_size=60))
def test_gaps_less_closed_are_what_was_never_delivered(
    first: tuple[int, int], steps: list[tuple[str, str, int]]
) -> None:
    """After any trades in any order, any heartbeats and any pauses, once every heartbeat had its grace."""
    feed = Feed()
    delivered: dict[str, set[int]] = {}
    newest: dict[str, int] = {}
    for product_id, trade_id in zip(PRODUCTS, first, strict=True):
        feed.last_match(trade_id, product_id)
        delivered[product_id] = {trade_id}
        newest[product_id] = trade_id
    for kind, product_id, number in steps:
        if kind == "wait":
            feed.wait(number / 40)
            continue
        if kind == "heartbeat":
            feed.heartbeat(number, product_id)
        else:
            feed.match(number, product_id=product_id) if kind == "match" else feed.last_match(number, product_id)
            delivered[product_id].add(number)
        newest[product_id] = max(newest[product_id], number)
    feed.wait(GRACE + 0.1)
    for product_id, baseline in zip(PRODUCTS, first, strict=True):
        expected = set(range(baseline + 1, newest[product_id] + 1)) - delivered[product_id]
        assert feed.missing(product_id) == expected
        count = feed.count(product_id)
        assert count.missing - count.closed == len(expected)


@st.composite
def two_connections(draw: st.DrawFn) -> list[list[tuple[str, int]]]:
    """What each of two connections delivers of one market: from its subscriptions on, with losses, in order."""
    trades = draw(st.integers(5, 60))
    connections = []
    for _ in range(2):
        frames: list[tuple[str, int]] = []
        up = False
        for trade_id in range(1, trades + 1):
            event = draw(st.sampled_from(["deliver"] * 6 + ["lose", "drop", "beat"]))
            if event == "drop":
                up = False
            elif not up:
                up = True
                frames.append(("last_match", trade_id))
            elif event != "lose":
                frames.append(("match", trade_id))
                if event == "beat":
                    frames.append(("heartbeat", trade_id))
        connections.append(frames)
    return connections


@given(connections=two_connections(), data=st.data())
def test_two_connections_are_one_market(connections: list[list[tuple[str, int]]], data: st.DataObject) -> None:
    """However the frames of a connection and of its replica interleave, only what neither delivered is missing."""
    feed = Feed()
    delivered: list[int] = []
    while any(connections):
        frames = data.draw(st.sampled_from([frames for frames in connections if frames]))
        kind, trade_id = frames.pop(0)
        if kind == "heartbeat":
            feed.heartbeat(trade_id)
        else:
            feed.match(trade_id) if kind == "match" else feed.last_match(trade_id)
            delivered.append(trade_id)
        feed.wait(0.05)
    feed.wait(GRACE + 0.1)
    if delivered:
        assert feed.missing() == set(range(delivered[0] + 1, max(delivered) + 1)) - set(delivered)


# ------------------------------------------------------------------- each rule


def test_trades_in_order_say_nothing() -> None:
    """The first id is the baseline: nothing before it is known, nothing after it is missing."""
    feed = Feed()
    feed.last_match(100)
    feed.match(101, 102, 103)
    feed.heartbeat(103)
    feed.wait(60)
    assert feed.said == []


def test_jump_is_a_gap_at_once() -> None:
    """The ids between two trades, both ends included."""
    feed = Feed()
    feed.match(100, 104)
    assert feed.said == [gap(101, 103)]


def test_last_match_bounds_what_a_reconnect_cost() -> None:
    """It is a trade itself: what is missing lies strictly before it."""
    feed = Feed()
    feed.match(100)
    feed.last_match(110)
    feed.match(111)
    assert feed.said == [gap(101, 109, DetectedBy.LAST_MATCH)]


@pytest.mark.parametrize("trade_id", [100, 101])
def test_last_match_without_a_loss_is_no_gap(trade_id: int) -> None:
    """The trade before the subscription is the last one recorded, or the next."""
    feed = Feed()
    feed.match(100)
    feed.last_match(trade_id)
    feed.match(trade_id + 1)
    assert feed.said == []


def test_heartbeat_ahead_of_the_trades_is_a_gap_after_the_grace() -> None:
    """Up to and including the id it named; not before the grace is over."""
    feed = Feed()
    feed.match(100)
    feed.heartbeat(103)
    feed.wait(GRACE)
    assert feed.said == []
    feed.wait(0.01)
    assert feed.said == [gap(101, 103, DetectedBy.HEARTBEAT)]


def test_grace_passes_without_a_tick_when_heartbeats_come() -> None:
    """The next heartbeat notices as well."""
    feed = Feed()
    feed.match(100)
    feed.heartbeat(101)
    feed.now += GRACE + 0.01
    feed.heartbeat(101)
    assert feed.said == [gap(101, 101, DetectedBy.HEARTBEAT)]


def test_trades_that_follow_their_heartbeat_within_the_grace_are_no_gap() -> None:
    """Also when every heartbeat is ahead of its trades, for ever."""
    feed = Feed()
    feed.match(100)
    for trade_id in range(101, 200):
        feed.heartbeat(trade_id)
        feed.wait(0.5)
        feed.match(trade_id)
        feed.wait(0.5)
    assert feed.said == []


def test_each_heartbeat_has_a_grace_of_its_own() -> None:
    """One that is ahead since just now does not fall with an older one."""
    feed = Feed()
    feed.match(100)
    feed.heartbeat(101)
    feed.wait(1.5)
    feed.heartbeat(102)
    feed.wait(1.0)
    assert feed.said == [gap(101, 101, DetectedBy.HEARTBEAT)]
    feed.wait(1.1)
    assert feed.said[1:] == [gap(102, 102, DetectedBy.HEARTBEAT)]


@pytest.mark.parametrize("last_trade_id", [0, None, -5])
def test_heartbeat_without_an_id_is_not_trusted(last_trade_id: int | None) -> None:
    """Some environments send 0 for ever: it is neither a baseline nor a claim."""
    feed = Feed()
    feed.heartbeat(last_trade_id)
    feed.wait(60)
    feed.match(100)
    feed.heartbeat(last_trade_id)
    feed.wait(60)
    feed.match(101)
    assert feed.said == []


def test_heartbeat_becomes_the_baseline_of_a_product_that_does_not_trade() -> None:
    """No gap before it, gaps after it."""
    feed = Feed()
    feed.heartbeat(500)
    feed.wait(GRACE + 0.1)
    assert feed.said == []
    feed.match(502)
    assert feed.said == [gap(501, 501)]


def test_late_trade_splits_its_gap() -> None:
    """What is still missing on both sides stays missing, and can come later too."""
    feed = Feed()
    feed.match(100, 110, 105, 101, 109)
    assert feed.said == [gap(101, 109), closed(105), closed(101), closed(109)]
    assert feed.missing() == {102, 103, 104, 106, 107, 108}


def test_duplicates_are_counted_not_recorded() -> None:
    """Of trades in order and of trades that closed a gap."""
    feed = Feed()
    feed.match(100, 102, 100, 101, 101, 102)
    assert feed.said == [gap(101, 101), closed(101)]
    assert feed.count().duplicates == 3


def test_products_do_not_mix() -> None:
    """Each has its own ids."""
    feed = Feed()
    feed.match(100)
    feed.match(7, product_id="ETH-USD")
    feed.match(101)
    feed.match(9, product_id="ETH-USD")
    assert feed.said == [Gap("ETH-USD", 8, 8, DetectedBy.TRADE_ID)]


def test_frame_without_product_or_id_says_nothing() -> None:
    """It is recorded elsewhere; here it cannot be followed."""
    tracker = GapTracker(GRACE)
    assert tracker.see(Header("match", None, 5), 0.0) == ()
    assert tracker.see(Header("match", "", 5), 0.0) == ()
    assert tracker.see(Header("match", BTC, None), 0.0) == ()
    assert [count.implausible for count in tracker.counts()] == [1]


def test_counts_are_by_what_detected_a_gap() -> None:
    """Gaps, trades in them, and those that came after all."""
    feed = Feed()
    feed.match(100, 103)
    feed.last_match(106)
    feed.heartbeat(107)
    feed.wait(GRACE + 0.1)
    feed.match(101, 107)
    count = feed.count()
    assert count.gaps == {
        DetectedBy.TRADE_ID: 1,
        DetectedBy.LAST_MATCH: 1,
        DetectedBy.HEARTBEAT: 1,
        DetectedBy.RESTART: 0,
    }
    assert (count.missing, count.closed) == (5, 2)


# --------------------------------------------------------------------- restart


def test_first_trade_after_a_restart_shows_the_downtime() -> None:
    """Against the last trade of the earlier session; what follows is detected as ever."""
    feed = Feed({BTC: 100})
    feed.last_match(110)
    feed.match(112)
    assert feed.said == [gap(101, 109, DetectedBy.RESTART), gap(111, 111)]


@given(
    sessions=st.lists(
        st.lists(st.integers(1, 40) | st.integers(1, 40).map(lambda ahead: -ahead), max_size=12),
        min_size=2,
        max_size=4,
    )
)
def test_gaps_less_what_came_are_exact_over_sessions(sessions: list[list[int]]) -> None:
    """Wherever a streamer is killed, what is missing over all its sessions is exactly what was never delivered.

    A negative number is a heartbeat that names a trade, whose grace passes.
    """
    said: list[Gap | GapClosed] = []
    delivered: set[int] = set()
    baseline = newest = 0
    for events in sessions:
        feed = Feed()
        if delivered:
            feed.tracker.recover({BTC: max(delivered)}, {BTC: intervals(open_ids(said))})
        for event in events:
            if event > 0:
                feed.match(event)
                baseline = baseline or event
                delivered.add(event)
            elif delivered:  # before the first trade nobody knows where they begin
                feed.heartbeat(-event)
                feed.wait(GRACE + 1)
            newest = max(newest, abs(event)) if delivered else 0
        said += feed.said

    assert open_ids(said) == set(range(baseline, newest + 1)) - delivered - {0}


def open_ids(said: list[Gap | GapClosed]) -> set[int]:
    """All gaps less all that closed."""
    missing: set[int] = set()
    for each in said:
        ids = set(range(each.first, each.last + 1))
        missing = missing | ids if isinstance(each, Gap) else missing - ids
    return missing


def intervals(ids: set[int]) -> list[tuple[int, int]]:
    """As few as can be, ascending."""
    starts = sorted(each for each in ids if each - 1 not in ids)
    ends = sorted(each for each in ids if each + 1 not in ids)
    return list(zip(starts, ends, strict=True))


def test_gaps_from_before_the_ids_began_anew_are_of_no_trades_of_now() -> None:
    """A gap that does not touch the ids of the last trades says nothing about them."""
    feed = Feed()
    feed.tracker.recover({BTC: 100}, {BTC: [(90, 95), (101, 103), (5000, 5010)]})

    feed.match(104, 92, 102, 5001)

    assert feed.said == [
        GapClosed(BTC, 92, 92),
        GapClosed(BTC, 102, 102),
        gap(105, 5000),
    ]


def test_restart_without_a_trade_meanwhile_is_no_gap() -> None:
    """last_match repeats the stored trade; a later jump is this session's own."""
    feed = Feed({BTC: 100})
    feed.last_match(100)
    feed.match(102)
    assert feed.said == [gap(101, 101)]


def test_heartbeat_shows_the_downtime_where_no_trade_does() -> None:
    """A product whose trades are not delivered."""
    feed = Feed({BTC: 100})
    feed.heartbeat(105)
    feed.wait(GRACE + 0.1)
    assert feed.said == [gap(101, 105, DetectedBy.RESTART)]


def test_product_of_no_earlier_session_has_no_downtime() -> None:
    """No knowledge, no gap."""
    feed = Feed({"ETH-USD": 5})
    feed.last_match(110)
    assert feed.said == []


# ---------------------------------------------------------------------- bounds


def test_one_absurd_id_changes_nothing() -> None:
    """Too far to be a loss: the next ordinary trade goes on, in trades and in heartbeats."""
    feed = Feed()
    feed.match(100, 2**62, 101, -7, 0, 2**62 + 1)
    feed.heartbeat(2**62)
    feed.wait(60)
    assert feed.count().implausible == 4
    feed.match(102, 104)
    assert feed.said == [gap(103, 103)]


@pytest.mark.parametrize("start", [2 * MAX_JUMP, 1])
def test_ids_that_go_on_elsewhere_become_the_baseline(start: int) -> None:
    """The second id confirms the first; nothing between the old and the new ids counts as missing."""
    feed = Feed()
    before = MAX_JUMP + 1000 if start == 1 else 100
    feed.match(before, before + 2)
    feed.heartbeat(before + 5)
    feed.match(start, start + 2)
    assert feed.said == [gap(before + 1, before + 1), gap(start + 1, start + 1)]
    feed.heartbeat(start + 3)
    feed.wait(GRACE + 0.1)
    assert feed.said[2:] == [gap(start + 3, start + 3, DetectedBy.HEARTBEAT)]


def test_absurd_first_id_is_given_up() -> None:
    """Also a heartbeat's."""
    feed = Feed()
    feed.heartbeat(2**60)
    feed.wait(GRACE + 0.1)
    feed.match(5, 6, 8)
    assert feed.said == [gap(7, 7)]


def test_absurd_claim_ends_with_the_first_trade() -> None:
    """A heartbeat before the baseline cannot be judged until the baseline is there."""
    feed = Feed()
    feed.heartbeat(2**60)
    feed.match(5)
    feed.wait(GRACE + 0.1)
    assert feed.said == []


def test_storm_of_heartbeats_costs_a_few_records() -> None:
    """They are not kept one by one, and late ones take nothing back."""
    feed = Feed()
    feed.match(100)
    for last_trade_id in range(101, 1101):
        feed.heartbeat(last_trade_id)
    feed.heartbeat(500)
    feed.wait(GRACE + 0.1)
    assert feed.missing() == set(range(101, 1101))
    assert len(feed.said) < 10


def test_exchange_that_counts_anew_is_followed() -> None:
    """Heartbeats that name old trades, and none near the newest, for a minute."""
    feed = Feed()
    feed.match(100, 101, 103)
    feed.match(1)
    feed.heartbeat(1)
    feed.wait(RESET_SECONDS + 1)
    feed.match(2)
    feed.heartbeat(2)
    feed.match(4)
    assert feed.said == [gap(102, 102), gap(3, 3)]
    feed.match(3, *range(5, 104), 102)
    assert feed.said[2:] == [closed(3)]


def test_heartbeats_that_are_always_late_reset_nothing() -> None:
    """Neither while trades go on, delivered by two connections, nor while the product rests."""
    feed = Feed()
    feed.match(1)
    for trade_id in range(2, 200):
        feed.match(trade_id, trade_id - 1)
        feed.heartbeat(trade_id - 1)
        feed.wait(1)
    feed.match(200)
    for _ in range(200):
        feed.heartbeat(199)
        feed.wait(1)
    feed.match(201)
    assert feed.said == []


def test_oldest_holes_are_forgotten_past_the_limit() -> None:
    """The newest thousand can still be closed; an id of a forgotten one counts as a duplicate."""
    feed = Feed()
    feed.match(*range(1, 2 * MAX_OPEN_INTERVALS + 6, 2))
    assert len(feed.said) == MAX_OPEN_INTERVALS + 2
    feed.match(2, 4, 6)
    assert feed.said[-1] == closed(6)
    assert feed.count().duplicates == 2


def test_products_are_bounded() -> None:
    """A feed that invents products does not grow the tracker without end."""
    tracker = GapTracker(GRACE)
    for number in range(MAX_PRODUCTS + 10):
        tracker.see(Header("match", f"X{number}-USD", 1), 0.0)
    assert sum(1 for _ in tracker.counts()) == MAX_PRODUCTS
