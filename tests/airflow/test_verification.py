"""The last tasks of a run: what fails them, and what is a sign of life. tests/e2e has them with a real warehouse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.pipeline.freshness import FreshnessReport
from tests.alerting.receivers import Receivers


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Receivers]:
    """A dead man's switch, and settings that point to it."""
    with Receivers() as receivers:
        for name, value in receivers.settings().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PULSE_HOME", str(tmp_path))
        monkeypatch.setenv("PULSE_SOURCE", "simulated")
        yield receivers


@pytest.fixture
def marts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the warehouse is made to say: fields of the report, to be changed."""
    fields: dict[str, Any] = {
        "fresh": ("BTC-USD",),
        "quiet": (),
        "stale": {},
        "unknown": (),
        "received_at": datetime.now(UTC),
        "traded_at": datetime.now(UTC),
    }
    monkeypatch.setattr("market_pulse.verification._warehouse", lambda: None)
    monkeypatch.setattr("include.pipeline.freshness.look", lambda *_, **__: FreshnessReport(**fields))
    return fields


def verify() -> dict[str, Any]:
    """The outcome of verify_freshness."""
    from market_pulse.verification import verify_freshness

    outcome: dict[str, Any] = verify_freshness.function(SimpleNamespace(start_date=datetime.now(UTC)))
    return outcome


def report(outcome: dict[str, Any]) -> dict[str, Any]:
    """The outcome of report_alive behind it."""
    from market_pulse.verification import report_alive

    alive: dict[str, Any] = report_alive.function(outcome)
    return alive


def test_a_run_with_fresh_marts_is_a_sign_of_life(receivers: Receivers, marts: dict[str, Any]) -> None:
    """One request, and the alerts know as of when the marts are."""
    assert report(verify()) == {"alive": True, "pinged": True}
    assert len(receivers.received["deadman"]) == 1

    from market_pulse.notifier import PulseNotifier

    PulseNotifier("run_failed").notify({"dag": type("Dag", (), {"dag_id": "market_pulse"}), "run_id": "r1"})
    assert "with trades until" in receivers.webhooks()[0].body["details"]["Marts as of"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"stale": {"BTC-USD": "no heartbeat"}}, "1 of 2 products are stale"),
        ({"received_at": datetime(2026, 1, 1, tzinfo=UTC)}, "the last record that was loaded was received at"),
    ],
)
def test_stale_marts_fail_the_task_for_good(
    receivers: Receivers, marts: dict[str, Any], change: dict[str, Any], error: str
) -> None:
    """Without another try, which would see the same; but not at the first look after a pause."""
    from airflow.sdk.exceptions import AirflowFailException

    marts |= change
    assert verify()["judged"] is False

    with pytest.raises(AirflowFailException, match=error):
        verify()


def test_after_a_pause_the_first_look_judges_nothing(
    receivers: Receivers, marts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is old may be what the pause left: the next run says."""
    from include.alerting import AlertDesk
    from include.config import AlertConfig, load

    long_ago = datetime.now(UTC) - timedelta(seconds=600 + 2 * 120 + 5)
    AlertDesk(load(AlertConfig), with_connections=True, now=lambda: long_ago).looked()
    marts["stale"] = {"BTC-USD": "no heartbeat"}

    assert verify()["judged"] is False


def test_a_replay_is_not_judged_and_gives_no_sign_of_life(
    receivers: Receivers, marts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trades are as old as the recording."""
    monkeypatch.setenv("PULSE_SOURCE", "replay")
    marts["stale"] = {"BTC-USD": "old"}

    for _ in range(2):
        assert report(verify())["alive"] is False
    assert receivers.received["deadman"] == []


def test_nothing_seen_yet_is_no_sign_of_life(receivers: Receivers, marts: dict[str, Any]) -> None:
    """An installation that never loaded a trade has not shown that it works."""
    marts |= {"fresh": (), "unknown": ("BTC-USD",), "received_at": None, "traded_at": None}
    verify()

    assert report(verify())["alive"] is False


def test_a_switch_that_cannot_be_reached_fails_nothing(receivers: Receivers, marts: dict[str, Any]) -> None:
    """Its own service notices."""
    receivers.refusals = {"deadman": 500}
    verify()

    assert report(verify()) == {"alive": True, "pinged": False}
