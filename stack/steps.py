"""Runs the steps of a start: each as soon as what it waits for is done, several at a time, all or nothing."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Protocol


class Cancelled(Exception):
    """Raised inside a step that ends early because another one failed or the user interrupted."""


@dataclass(frozen=True)
class Step:
    """A named action. `run` gets an event that is set when it should give up; `after` names the steps it waits for.

    `run` may return a remark for the screen ("unchanged").
    """

    name: str
    run: Callable[[threading.Event], str | None]
    after: tuple[str, ...] = ()


class Progress(Protocol):
    """Where the steps report to."""

    def started(self, name: str) -> None:
        """A step begins."""

    def finished(self, name: str, seconds: float, remark: str | None) -> None:
        """A step is done."""


def run_steps(steps: Sequence[Step], progress: Progress) -> None:
    """Run all steps.

    The first failure cancels the others and is raised when these have ended; so is an interruption.
    """
    by_name = {step.name: step for step in steps}
    sorter = TopologicalSorter({step.name: step.after for step in steps})
    sorter.prepare()
    cancelled = threading.Event()
    running: dict[Future[str | None], tuple[str, float]] = {}
    with ThreadPoolExecutor(max_workers=len(steps), thread_name_prefix="step") as pool:
        try:
            while sorter.is_active():
                for name in sorter.get_ready():
                    progress.started(name)
                    running[pool.submit(by_name[name].run, cancelled)] = (name, time.monotonic())
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    name, started = running.pop(future)
                    progress.finished(name, time.monotonic() - started, future.result())
                    sorter.done(name)
        finally:
            cancelled.set()


def wait_until(
    condition: Callable[[], str | None], seconds: float, cancelled: threading.Event, *, every: float = 0.2
) -> str | None:
    """Poll until `condition` returns None and return None; else what it said last, when the time is over.

    Raises Cancelled.
    """
    deadline = time.monotonic() + seconds
    while True:
        obstacle = condition()
        if obstacle is None:
            return None
        if time.monotonic() >= deadline:
            return obstacle
        if cancelled.wait(every):
            raise Cancelled
