"""A desk with a clock of its own, and receivers."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.alerting import AlertDesk, Delivery, Dispatch, Occurrence
from include.config import AlertConfig, ChannelName, load
from tests.alerting.receivers import PAGERDUTY_KEY, Receivers


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **time: float) -> None:
        """Move on by hours, minutes, seconds."""
        self.now += timedelta(**time)


class Desks:
    """Makes desks as processes do, one after the other, over one folder; and sends as a channel would."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.environ = {
            "PULSE_HOME": str(folder),
            "PULSE_ALERT_SLACK_URL": "https://slack.example/services/T0/B0/not-a-token",
            "PULSE_ALERT_PAGERDUTY_KEY": PAGERDUTY_KEY,
        }
        self.sent: list[Dispatch] = []
        self.down: set[ChannelName] = set()

    def config(self) -> AlertConfig:
        """The settings."""
        return load(AlertConfig, self.environ)

    def desk(self) -> AlertDesk:
        """A desk of a new process."""
        return AlertDesk(self.config(), with_connections=True, now=self.clock)

    def fail(self, alert_id: str = "load_failed", **fields: Any) -> list[Dispatch]:
        """A failure, reported and sent by a process of its own."""
        defaults: dict[str, Any] = {"scope": "market_pulse", "what": "market_pulse.load_segments", "detail": "boom"}
        occurrence = Occurrence(alert_id=alert_id, at=self.clock(), **defaults | fields)
        desk = self.desk()
        return self.send(desk, desk.report(occurrence))

    def recover(self, scope: str = "market_pulse") -> list[Dispatch]:
        """A success."""
        desk = self.desk()
        return self.send(desk, desk.recover(scope))

    def send(self, desk: AlertDesk, dispatches: list[Dispatch]) -> list[Dispatch]:
        """Deliver to the channels that are up."""
        for dispatch in dispatches:
            desk.delivered(
                dispatch,
                [Delivery(channel, "refused" if channel in self.down else "") for channel in dispatch.channels],
            )
        self.sent += dispatches
        return dispatches

    def told(self) -> list[str]:
        """Kinds of all messages so far."""
        return [dispatch.message.kind.value for dispatch in self.sent]


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def desks(tmp_path: Path, clock: Clock) -> Desks:
    """Processes that share PULSE_HOME/alerts."""
    return Desks(tmp_path, clock)


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """All channels, on this machine."""
    with Receivers() as receivers:
        yield receivers


@pytest.fixture
def configure(receivers: Receivers, tmp_path: Path) -> Callable[..., AlertConfig]:
    """Settings that point to the receivers; keywords change variables."""

    def make(**changed: str) -> AlertConfig:
        return load(AlertConfig, {"PULSE_HOME": str(tmp_path), **receivers.settings(), **changed})

    return make
