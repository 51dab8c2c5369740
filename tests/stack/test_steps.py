"""The steps of a start: order, concurrency, failure."""

import threading
from collections.abc import Callable

import pytest

from stack.steps import Cancelled, Step, run_steps, wait_until


class Recorder:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def started(self, name: str) -> None:
        self.events.append(f"{name} started")

    def finished(self, name: str, seconds: float, remark: str | None) -> None:
        self.events.append(f"{name} finished {remark or ''}".strip())


def remarking(remark: str | None = None) -> Callable[[threading.Event], str | None]:
    """A step that does nothing."""
    return lambda cancelled: remark


def test_a_step_runs_after_what_it_waits_for() -> None:
    """Order follows `after`, whatever the order of the list; remarks are passed on."""
    progress = Recorder()
    run_steps([Step("second", remarking(), ("first",)), Step("first", remarking("unchanged"))], progress)
    assert progress.events == ["first started", "first finished unchanged", "second started", "second finished"]


def test_independent_steps_run_at_the_same_time() -> None:
    """Two steps that wait for each other can only both end when both run."""
    barrier = threading.Barrier(2, timeout=5)

    def meet(cancelled: threading.Event) -> None:
        barrier.wait()

    run_steps([Step("one", meet), Step("two", meet)], Recorder())


def test_a_failure_cancels_the_others_and_starts_no_more() -> None:
    """The first error is raised when the running steps have ended; what waited for it never starts."""
    progress = Recorder()
    cancelled_one = threading.Event()

    def fail(cancelled: threading.Event) -> None:
        raise ValueError("broken")

    def wait(cancelled: threading.Event) -> None:
        assert cancelled.wait(5)
        cancelled_one.set()

    with pytest.raises(ValueError, match="broken"):
        run_steps([Step("waits", wait), Step("fails", fail), Step("never", remarking(), ("fails",))], progress)
    assert cancelled_one.is_set()
    assert "never started" not in progress.events


def test_wait_until_returns_when_the_condition_holds() -> None:
    """None means ready."""
    answers = iter(["not yet", None])
    assert wait_until(lambda: next(answers), 5, threading.Event(), every=0.01) is None


def test_wait_until_returns_the_last_obstacle_in_time() -> None:
    """What stood in the way at the end is what the user should read."""
    assert wait_until(lambda: "still closed", 0.05, threading.Event(), every=0.01) == "still closed"


def test_wait_until_ends_when_cancelled() -> None:
    """A failed neighbour ends the wait."""
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        wait_until(lambda: "still closed", 60, cancelled)
