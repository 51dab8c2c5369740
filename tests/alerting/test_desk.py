"""Memory and delivery: several processes, channels that are down, a state that cannot be kept, secrets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from include.alerting import AlertConfigError, Secrets
from include.config import AlertConfig, ChannelName, load
from tests.alerting.conftest import Clock, Desks
from tests.alerting.receivers import PAGERDUTY_KEY, REPO

SLACK, PAGERDUTY = ChannelName.SLACK, ChannelName.PAGERDUTY


#: Reports the same failure six times; prints how many messages it is to send.
REPORTER = """
import sys
from datetime import UTC, datetime
from include.alerting import AlertDesk, Delivery, Occurrence
from include.config import AlertConfig, load
config = load(AlertConfig, {"PULSE_HOME": sys.argv[1], "PULSE_ALERT_SLACK_URL": "https://slack.example"})
sent = 0
for number in range(6):
    desk = AlertDesk(config, with_connections=True)
    occurrence = Occurrence(
        alert_id="load_failed", scope="market_pulse", what="x", detail="", at=datetime.now(UTC), run_id=f"r{number % 3}"
    )
    for dispatch in desk.report(occurrence):
        sent += 1
        desk.delivered(dispatch, [Delivery(channel) for channel in dispatch.channels])
print(sent)
"""


def test_of_many_processes_that_see_one_cause_one_sends(tmp_path: Path) -> None:
    """Worker, dag-processor, triggerer and streamer share one memory: nobody is paged twice, and no report is lost."""
    command = [sys.executable, "-c", REPORTER, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    sent = [int(process.communicate(timeout=60)[0]) for process in processes]

    assert sum(sent) == 1
    state = json.loads((tmp_path / "alerts" / "state.json").read_text())
    assert len(state["open"]) == 1


def test_a_channel_that_was_down_is_told_later_and_its_trouble_is_told_by_another(desks: Desks, clock: Clock) -> None:
    """PagerDuty misses the opening. Slack's next message says so, and PagerDuty gets the incident when it is back."""
    desks.down = {PAGERDUTY}
    desks.fail(run_id="r1")
    clock.move(minutes=2)
    (retry,) = desks.fail(run_id="r2")
    (other,) = desks.fail("data_stale", run_id="r3")

    assert retry.channels == (PAGERDUTY,)
    note = dict(other.message.lines)["Channels"]
    assert "pagerduty took no message since 2026-01-01 02:00:00 UTC, tried 2 times: refused" in note

    desks.down = set()
    clock.move(minutes=2)
    late = desks.send(desks.desk(), desks.desk().overdue())
    assert {each.message.alert_id for each in late} == {"load_failed", "data_stale"}
    assert all(each.channels == (PAGERDUTY,) for each in late)
    assert all("Channels" not in dict(each.message.lines) for each in late), "told once is enough"
    clock.move(minutes=2)
    assert desks.desk().overdue() == []


def test_a_recovery_that_a_channel_missed_is_made_up_for(desks: Desks, clock: Clock) -> None:
    """An incident does not stay open at PagerDuty because PagerDuty was down when it ended."""
    desks.fail()
    desks.down = {PAGERDUTY}
    desks.recover()
    desks.down = set()
    clock.move(minutes=2)

    (late,) = desks.desk().overdue()

    assert (late.message.kind.value, late.channels) == ("recovered", (PAGERDUTY,))


def test_a_process_that_dies_before_it_sends_loses_no_message(desks: Desks, clock: Clock) -> None:
    """What was decided and never confirmed is handed to the next process."""
    desk = desks.desk()
    desks.clock.move(seconds=1)
    from include.alerting import Occurrence

    desk.report(Occurrence(alert_id="load_failed", scope="market_pulse", what="x", detail="", at=clock()))
    assert desks.desk().overdue() == [], "not at once: it may be about to send"

    clock.move(minutes=2)
    (late,) = desks.desk().overdue()
    assert (late.message.kind.value, late.channels) == ("opened", (SLACK, PAGERDUTY))


def test_a_folder_that_cannot_be_used_keeps_nobody_from_being_told(desks: Desks, tmp_path: Path) -> None:
    """On a disk that takes nothing every process pages, under one key, and says that it may come again."""
    (tmp_path / "alerts").write_text("in the way")

    first, second = desks.fail(run_id="r1")[0], desks.fail(run_id="r2")[0]

    assert first.message.dedup_key == second.message.dedup_key == "market-pulse/market_pulse/load_failed"
    assert "messages may come twice" in dict(first.message.lines)["Channels"]


def test_one_process_without_memory_does_not_repeat_itself(desks: Desks, tmp_path: Path, clock: Clock) -> None:
    """The streamer lives on: it remembers by itself."""
    (tmp_path / "alerts").write_text("in the way")
    desk = desks.desk()
    from include.alerting import Occurrence

    for _ in range(5):
        occurrence = Occurrence(alert_id="disk_failing", scope="streamer/a", what="streamer/a", detail="", at=clock())
        desks.send(desk, desk.report(occurrence))
        clock.move(minutes=1)
    desks.send(desk, desk.recover("streamer/a"))

    assert desks.told() == ["opened", "recovered"]


def test_a_damaged_state_is_set_aside(desks: Desks, tmp_path: Path) -> None:
    """To page once too often is better than never again; the file is kept."""
    desks.fail(run_id="r1")
    (tmp_path / "alerts" / "state.json").write_text("{torn")

    assert len(desks.fail(run_id="r2")) == 1
    assert (tmp_path / "alerts" / "state.unreadable").read_text() == "{torn"


def test_a_reader_never_sees_half_a_state(desks: Desks, tmp_path: Path) -> None:
    """The state is replaced, never written over."""
    desks.fail(run_id="r1")
    before = (tmp_path / "alerts" / "state.json").read_bytes()
    with (tmp_path / "alerts" / "state.json").open("rb") as reader:
        desks.fail("data_stale", run_id="r2")

        assert reader.read() == before
    assert (tmp_path / "alerts" / "state.json").read_bytes() != before


def test_no_message_and_no_state_holds_a_secret(desks: Desks, tmp_path: Path) -> None:
    """Libraries put addresses into their errors: they are cut out before anything is remembered or sent."""
    secret = desks.environ["PULSE_ALERT_SLACK_URL"]
    (dispatch,) = desks.fail(detail=f"POST {secret} failed; url: /services/T0/B0/not-a-token")

    assert "not-a-token" not in dispatch.message.text()
    assert "not-a-token" not in (tmp_path / "alerts" / "state.json").read_text()


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """`…_FILE` names it, as container platforms mount secrets."""
    file = tmp_path / "key"
    file.write_text(f"{PAGERDUTY_KEY}\n")
    config = load(AlertConfig, {"PULSE_ALERT_PAGERDUTY_KEY_FILE": str(file)})

    assert Secrets(config).read("alert_pagerduty_key") == PAGERDUTY_KEY


@pytest.mark.parametrize("content", [None, " \n"])
def test_a_secret_that_cannot_be_had_is_named_by_its_variable(tmp_path: Path, content: str | None) -> None:
    """A missing or empty file is an error, not a channel that silently does not exist."""
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    config = load(AlertConfig, {"PULSE_ALERT_PAGERDUTY_KEY_FILE": str(file)})

    with pytest.raises(AlertConfigError, match="PULSE_ALERT_PAGERDUTY_KEY_FILE"):
        Secrets(config).read("alert_pagerduty_key")


def test_an_airflow_connection_is_no_channel_where_there_is_no_airflow(desks: Desks) -> None:
    """The streamer does not try what only Airflow can look up."""
    from include.alerting import configured_channels

    config = load(AlertConfig, {"PULSE_ALERT_SLACK_CONN_ID": "pulse_slack"})

    assert configured_channels(config, with_connections=True) == (SLACK,)
    assert configured_channels(config, with_connections=False) == ()
