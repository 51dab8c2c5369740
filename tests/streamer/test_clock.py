"""The session's clock under a wall clock that somebody sets."""

from hypothesis import given
from hypothesis import strategies as st

from include.spool import RecordEncoder, Session
from streamer.clock import STEP_NS, SessionClock

SECOND = 1_000_000_000
START = 1_783_465_096 * SECOND


class Clocks:
    """The machine's two clocks, in the test's hands."""

    def __init__(self) -> None:
        self.monotonic_ns = 5 * SECOND
        self.wall_ns = START
        self.clock = SessionClock(lambda: self.wall_ns, lambda: self.monotonic_ns)

    def wait(self, ns: int) -> None:
        """Time passes on both."""
        self.monotonic_ns += ns
        self.wall_ns += ns

    def set_wall(self, step_ns: int) -> None:
        """Somebody sets the wall clock."""
        self.wall_ns += step_ns


def test_clock_is_the_wall_clock_while_nobody_sets_it() -> None:
    """Anchored at the start, and no step to report."""
    clocks = Clocks()
    clocks.wait(3600 * SECOND)
    assert clocks.clock.now_ns() == clocks.wall_ns
    assert clocks.clock.check() == 0
    assert clocks.clock.steps == 0


def test_step_forward_is_followed_at_once() -> None:
    """From the check that sees it on."""
    clocks = Clocks()
    clocks.set_wall(SECOND)
    assert clocks.clock.now_ns() == START
    assert clocks.clock.check() == SECOND
    assert clocks.clock.now_ns() == clocks.wall_ns
    assert clocks.clock.check() == 0
    assert clocks.clock.steps == 1


def test_step_back_is_made_up_at_half_speed() -> None:
    """The clock stays ahead for twice the step, then is the wall clock's again, without a jump."""
    clocks = Clocks()
    clocks.set_wall(-10 * SECOND)
    assert clocks.clock.check() == -10 * SECOND
    assert clocks.clock.now_ns() == START
    clocks.wait(4 * SECOND)
    assert clocks.clock.now_ns() == START + 2 * SECOND
    clocks.wait(16 * SECOND - 2)
    assert clocks.clock.now_ns() == clocks.wall_ns + 1
    clocks.wait(2)
    assert clocks.clock.now_ns() == clocks.wall_ns
    clocks.wait(SECOND)
    assert clocks.clock.now_ns() == clocks.wall_ns
    assert clocks.clock.check() == 0


def test_second_step_counts_from_the_wall_clock() -> None:
    """While the clock is still ahead, a step forward shortens the slow time, or ends it."""
    clocks = Clocks()
    clocks.set_wall(-10 * SECOND)
    clocks.clock.check()
    clocks.wait(8 * SECOND)
    clocks.set_wall(2 * SECOND)
    before = clocks.clock.now_ns()
    assert clocks.clock.check() == 2 * SECOND
    assert clocks.clock.now_ns() == before == clocks.wall_ns + 4 * SECOND
    clocks.set_wall(5 * SECOND)
    assert clocks.clock.check() == 5 * SECOND
    assert clocks.clock.now_ns() == clocks.wall_ns


def test_small_differences_are_no_step_until_they_add_up() -> None:
    """What is too small to tell from drift is left alone."""
    clocks = Clocks()
    clocks.set_wall(STEP_NS)
    assert clocks.clock.check() == 0
    clocks.set_wall(1)
    assert clocks.clock.check() == STEP_NS + 1


def test_interrupted_comparison_says_nothing() -> None:
    """A process that does not run between the two readings would see a step that nobody made."""
    clocks = Clocks()
    clock = clocks.clock

    def interrupted() -> int:
        wall = clocks.wall_ns
        clocks.wait(SECOND)
        return wall

    slow = SessionClock(interrupted, lambda: clocks.monotonic_ns)
    assert slow.check() == 0
    assert clock.check() == 0


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3 * SECOND), st.integers(-20 * SECOND, 20 * SECOND) | st.just(0), st.booleans()),
        max_size=30,
    )
)
def test_clock_never_goes_back(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever is done to the wall clock; and in the end it is the wall clock's time again."""
    clocks = Clocks()
    last = clocks.clock.now_ns()
    for ns, step, checks in steps:
        clocks.wait(ns)
        clocks.set_wall(step)
        if checks:
            clocks.clock.check()
        now = clocks.clock.now_ns()
        assert now >= last
        last = now
    clocks.clock.check()
    clocks.wait(2000 * SECOND)
    assert abs(clocks.clock.now_ns() - clocks.wall_ns) <= STEP_NS


def test_records_keep_moving_while_the_wall_clock_is_back() -> None:
    """received_at of later records is later, not frozen."""
    clocks = Clocks()
    encoder = RecordEncoder(Session.new("streamer-1", START), clocks.clock.now_ns)
    clocks.set_wall(-3600 * SECOND)
    clocks.clock.check()
    times = []
    for _ in range(5):
        clocks.wait(2 * SECOND)
        times.append(encoder.frame(b'{"type":"match"}', 1).received_at_us)
    assert times == [START // 1000 + 1_000_000 * second for second in range(1, 6)]
