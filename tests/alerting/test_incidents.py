"""One incident per cause: what opens it, what joins it, what is told, and when it is over."""

import pytest

from include.alerting import Facts, Waiting
from include.config import ChannelName
from tests.alerting.conftest import Clock, Desks


def test_a_failure_is_told_once_with_all_that_on_call_needs(desks: Desks) -> None:
    """The message says what failed since when, the impact, what waits safely, where the log is and what to try."""
    (dispatch,) = desks.fail(
        run_id="r1",
        log_url="http://airflow/log",
        facts=Facts(stale_marts=("fct_trades",), waiting=Waiting(3, 12_300_000)),
    )

    message = dispatch.message
    lines = dict(message.lines)
    assert message.title == "BigQuery does not load a batch: market_pulse.load_segments"
    assert lines["Since"] == "2026-01-01 02:00:00 UTC"
    assert lines["Stale marts"] == "fct_trades"
    assert lines["Safe in the spool"] == "3 segments, 12.3 MB, not yet loaded"
    assert (message.command, message.runbook) == ("make fsck", "docs/runbooks/load_failed.md")
    assert message.log_url == "http://airflow/log"
    assert dispatch.channels == (ChannelName.PAGERDUTY, ChannelName.SLACK)


def test_a_night_of_failing_runs_is_no_storm(desks: Desks, clock: Clock) -> None:
    """Sixty runs that fail every two minutes are one incident and three messages at most, then one recovery."""
    for number in range(60):
        for what in ("market_pulse.load_segments", "market_pulse.verify_load"):
            desks.fail("load_failed" if "load_s" in what else "task_failed", what=what, run_id=f"r{number}")
        desks.fail("run_failed", what="market_pulse", run_id=f"r{number}")
        clock.move(minutes=2)
    desks.recover()

    assert desks.told() == ["opened", "update", "recovered"]
    assert len({dispatch.message.dedup_key for dispatch in desks.sent}) == 1
    assert "60 times, until 2026-01-01 04:00:00 UTC (2 h 0 min)" in dict(desks.sent[-1].message.lines)["Since"]
    assert desks.recover() == []


def test_an_incident_that_lasts_is_told_of_at_its_times_and_then_daily(desks: Desks, clock: Clock) -> None:
    """After 30 minutes, after four hours, and then once a day."""
    for _ in range(3 * 24 * 2):
        desks.fail()
        clock.move(minutes=30)

    hours = [(dispatch.message.sent_at[8:13], dispatch.message.kind.value) for dispatch in desks.sent]
    assert hours == [
        ("01 02", "opened"),
        ("01 02", "update"),
        ("01 06", "update"),
        ("02 06", "update"),
        ("03 06", "update"),
    ]


def test_what_fails_in_one_run_is_one_incident(desks: Desks) -> None:
    """The task's callback, those of what it took with it, and the run's own do not page three times."""
    desks.fail("warehouse_unreachable", run_id="r1")
    desks.fail("task_failed", what="market_pulse.verify_load", run_id="r1")
    desks.fail("run_failed", what="market_pulse", run_id="r1")

    assert desks.told() == ["opened"]


def test_the_callback_that_knows_more_may_come_second(desks: Desks, clock: Clock) -> None:
    """A run that failed for unknown reasons becomes the incident of the reason; the next run joins it."""
    desks.fail("run_failed", what="market_pulse", run_id="r1")
    desks.fail("transformation_failed", what="market_pulse.dbt", run_id="r1")
    clock.move(minutes=2)
    desks.fail("transformation_failed", what="market_pulse.dbt", run_id="r2")
    (recovery,) = desks.recover()

    assert desks.told() == ["opened", "recovered"]
    assert recovery.message.alert_id == "transformation_failed"


def test_another_cause_is_another_incident(desks: Desks) -> None:
    """Two specific alerts in two runs are two pages; so is the same alert of two DAGs."""
    desks.fail("warehouse_unreachable", run_id="r1")
    desks.fail("transformation_failed", run_id="r2")
    desks.fail("warehouse_unreachable", scope="other", run_id="r1")

    assert desks.told() == ["opened"] * 3
    assert len({dispatch.message.dedup_key for dispatch in desks.sent}) == 3


def test_a_warning_does_not_hide_what_is_critical(desks: Desks) -> None:
    """A critical failure does not join an incident that only Slack was told of."""
    desks.fail("segment_quarantined", run_id="r1")
    desks.fail("warehouse_unreachable", run_id="r1")
    desks.fail("run_late", run_id="r2", what="market_pulse")

    assert [dispatch.message.alert_id for dispatch in desks.sent] == ["segment_quarantined", "warehouse_unreachable"]
    assert [dispatch.channels for dispatch in desks.sent] == [
        (ChannelName.SLACK,),
        (ChannelName.PAGERDUTY, ChannelName.SLACK),
    ]


def test_what_comes_and_goes_is_told_less_and_less(desks: Desks, clock: Clock) -> None:
    """A DAG that fails every other run for a night is a handful of messages, and over when it stays well."""
    for _ in range(8 * 15):
        desks.fail()
        clock.move(minutes=2)
        desks.recover()
        clock.move(minutes=2)
    before = len(desks.sent)
    for _ in range(10):
        clock.move(minutes=2)
        desks.recover()

    assert desks.told()[:3] == ["opened", "recovered", "reopened"]
    assert before <= 6
    assert desks.told()[-1] == "recovered"
    assert desks.told().count("recovered") == 2


def test_a_recovery_says_what_it_does_not_undo(desks: Desks) -> None:
    """Trades that were not captured stay missing after the feed is back."""
    desks.fail("feed_silent", scope="streamer/streamer-1", what="streamer/streamer-1")
    (recovery,) = desks.recover("streamer/streamer-1")

    assert "missing until they are fetched again" in dict(recovery.message.lines)["Remains"]


def test_the_success_of_one_dag_is_not_that_of_another(desks: Desks) -> None:
    """Only incidents of its own scope end."""
    desks.fail("task_failed", scope="market_pulse_maintenance")

    assert desks.recover("market_pulse") == []
    assert [each.message.scope for each in desks.recover("market_pulse_maintenance")] == ["market_pulse_maintenance"]


@pytest.mark.parametrize("url", ["https://runbooks.example/pages", "https://runbooks.example/pages/"])
def test_the_runbook_is_a_link_where_there_is_an_address(desks: Desks, url: str) -> None:
    """PULSE_ALERT_RUNBOOK_URL is the folder of the pages."""
    desks.environ["PULSE_ALERT_RUNBOOK_URL"] = url

    assert desks.fail()[0].message.runbook == "https://runbooks.example/pages/load_failed.md"
