"""A part counts as started when its check passes, and as failed as soon as it dies."""

import sys
import threading
import time

import pytest

from stack.errors import PartError
from stack.installation import Installation
from stack.parts import Part
from stack.readiness import airflow_check, start_and_wait
from stack.supervision import Supervisor
from tests.stack.conftest import SLEEPER, StartToys
from tests.stack.support import json_server, plan_on_ports

TOY = Part("toy", SLEEPER)


def start(supervisor: Supervisor, installation: Installation, part: Part, check: object, seconds: float = 10) -> None:
    """`start_and_wait` without cancellation."""
    start_and_wait(supervisor, installation, part, check, seconds=seconds, cancelled=threading.Event())  # type: ignore[arg-type]


def test_a_part_is_ready_when_its_check_passes(installation: Installation, start_toys: StartToys) -> None:
    """The check is asked until it has nothing to say."""
    answers = iter(["not yet", "not yet", None])
    start(start_toys([TOY]), installation, TOY, lambda: next(answers))
    assert next(answers, "exhausted") == "exhausted"


def test_a_part_that_dies_while_starting_fails_at_once(installation: Installation, start_toys: StartToys) -> None:
    """Nobody waits a minute for a program that said why it ended in the first second."""
    broken = Part("broken", (sys.executable, "-c", "raise SystemExit('no such setting')"))
    began = time.monotonic()
    with pytest.raises(PartError) as caught:
        start(start_toys([broken]), installation, broken, lambda: "not yet", seconds=60)
    assert time.monotonic() - began < 30
    assert caught.value.part == "broken"
    assert caught.value.log_path == installation.log_path("broken")
    assert "no such setting" in installation.log_path("broken").read_text()


def test_a_part_that_is_never_ready_fails_in_time_with_the_reason(
    installation: Installation, start_toys: StartToys
) -> None:
    """The last obstacle is in the message."""
    with pytest.raises(PartError, match=r"toy: not ready after 0\.3 s: port closed"):
        start(start_toys([TOY]), installation, TOY, lambda: "port closed", seconds=0.3)


def test_an_old_heartbeat_does_not_count() -> None:
    """Airflow's database remembers the last start's heartbeat and calls it healthy for a while."""
    health = {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-01-01T00:00:00+00:00"}}
    with json_server({"/api/v2/monitor/health": health}) as port:
        plan = plan_on_ports(airflow=port)
        assert airflow_check(plan, "scheduler", 0)() is None
        assert airflow_check(plan, "scheduler", time.time())() is not None


def test_a_server_that_does_not_answer_is_not_ready() -> None:
    """No connection is an obstacle, not an error."""
    with json_server({}) as port:
        plan = plan_on_ports(airflow=port)
    assert airflow_check(plan, "scheduler", 0)() is not None
