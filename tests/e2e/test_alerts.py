"""Every alert fired for real, by making its cause happen to a whole stack, with limits of seconds.

The tests are one story in the order of the file: each begins where the last one ended. Messages arrive at local
receivers on all four channels; the seconds from cause to message are printed at the end (`-s` shows them).
"""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.spool import RecordEncoder, SegmentWriter, Session, Spool
from tests.alerting.receivers import Received, Receivers
from tests.e2e.harness import RunningStack, eventually, kill_process, processes_of, running

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

RUN_LIMIT_SECONDS = 45
FRESHNESS_LIMIT_SECONDS = 45
SETTINGS = {
    "PULSE_SCHEDULE_SECONDS": "3600",
    "PULSE_TASK_RETRIES": "0",
    "PULSE_ALERT_FLAP_MINUTES": "0",
    "PULSE_RUN_LIMIT_SECONDS": str(RUN_LIMIT_SECONDS),
    "PULSE_FRESHNESS_LIMIT_SECONDS": str(FRESHNESS_LIMIT_SECONDS),
    "PULSE_SPOOL_MAX_BYTES": str(4 * 1024 * 1024),
    "PULSE_PAGER_INTERVAL_SECONDS": "1",
    "PULSE_PAGER_SILENT_SECONDS": "6",
    "PULSE_PAGER_UNSEALED_SECONDS": "12",
    "PULSE_PAGER_UNLOADED_SECONDS": "20",
    "PULSE_HEARTBEAT_TIMEOUT_SECONDS": "4",
}
MAIN, MAINTENANCE, STREAMER = "market_pulse", "market_pulse_maintenance", "streamer/streamer-1"

measured: dict[str, float] = {}


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    """Slack, PagerDuty, a webhook, a mail server and a dead man's switch."""
    with Receivers() as receivers:
        yield receivers


@pytest.fixture(scope="module")
def stack(stack_home: Path, receivers: Receivers) -> Iterator[RunningStack]:
    """A stack that pages the receivers."""
    yield from running(stack_home, "SOURCE=simulated", **SETTINGS, **receivers.settings())


class OnCall:
    """Who waits for messages."""

    def __init__(self, receivers: Receivers) -> None:
        self.receivers = receivers
        self.signs_of_life = 0

    def all(self) -> list[str]:
        """All messages so far."""
        bodies = [each.body for each in self.receivers.webhooks()]
        return [f"{body['kind']} {body['alert']} of {body['scope']}" for body in bodies]

    def gets(
        self, alert: str, scope: str, *, since: float, within: float, cause: str, kind: str = "opened"
    ) -> Received:
        """The first message of an alert since a moment; its delay counts for the cause."""
        message = eventually(
            lambda: next(
                (each for each in self.receivers.webhooks(alert=alert, scope=scope, kind=kind) if each.at >= since),
                None,
            ),
            within=within,
            what=f"{kind} {alert} of {scope}; got {self.all()}",
        )
        if since:
            measured[cause] = message.at - since
        return message


@pytest.fixture(scope="module")
def on_call(receivers: Receivers) -> OnCall:
    """The one on call."""
    return OnCall(receivers)


def stop(stack: RunningStack, wanted: str) -> list[int]:
    """SIGSTOP of a part: it hangs, and its supervisor sees nothing."""
    pids = [pid for pid, command in processes_of(stack.home).items() if wanted in command]
    assert pids, f"no process {wanted!r}"
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def go_on(pids: list[int]) -> None:
    """SIGCONT."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def ended(stack: RunningStack, run_id: str, *, within: float) -> str:
    """How a run has ended."""

    def state() -> str | None:
        now = stack.state_of(run_id)
        return now if now in {"success", "failed"} else None

    return eventually(state, within=within, what=f"run {run_id} is over")


def control(stack: RunningStack, method: str, body: dict[str, Any] | None = None) -> None:
    """One call of the simulator's fault control."""
    request = urllib.request.Request(
        f"{stack.known['simulator_url']}/control/faults",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def write_broken_segment(stack: RunningStack, second: int) -> None:
    """A segment of a dead streamer with a hole in its record numbers."""
    now_ns = (1_767_225_600 + second) * 1_000_000_000
    spool = Spool.open(Path(stack.known["spool_dir"]), "simulated", create=False)
    session = Session.new("streamer-9", now_ns)
    encoder = RecordEncoder(session, lambda: now_ns)
    lines = [encoder.control("pulse_started", {}, 0).line for _ in range(3)]
    writer = SegmentWriter(spool, session, max_bytes=1 << 20, max_age_seconds=60)
    writer.write(lines[0] + lines[2])
    writer.close()


def test_a_silent_feed_pages_and_recovers(stack: RunningStack, on_call: OnCall) -> None:
    """The exchange says nothing on an open socket and refuses new ones: the streamer pages by itself."""
    since = time.time()
    control(stack, "POST", {"kind": "refuse_handshake", "count": None})
    control(stack, "POST", {"kind": "stall"})
    message = on_call.gets("feed_silent", STREAMER, since=since, within=40, cause="feed silent")
    assert "no data" in message.body["details"]["Cause"]

    since = time.time()
    control(stack, "DELETE")
    on_call.gets("feed_silent", STREAMER, since=since, within=40, cause="feed silent, recovery", kind="recovered")


def test_a_task_killed_by_the_kernel_is_told_of(stack: RunningStack, on_call: OnCall) -> None:
    """The process of a task that has no try left dies by kill -9 and can call nobody: Airflow's other processes do, at
    the latest when the run is over, whose other tasks go on."""
    run = stack.airflow(f"dags/{MAINTENANCE}/dagRuns", {"logical_date": None, "conf": {}})
    listed = stack.airflow(f"dags/{MAINTENANCE}/dagRuns/{run['dag_run_id']}/taskInstances")["task_instances"]
    task = next(each for each in listed if each["task_id"] == "check_consistency")  # it takes five seconds at least
    kill_process(stack.home, f"airflow worker -- {task['id']}", within=90)
    since = time.time()

    message = eventually(
        lambda: next((each for each in on_call.receivers.webhooks(scope=MAINTENANCE) if each.at >= since), None),
        within=300,
        what="a message about the killed task",
    )
    measured["task killed -9"] = message.at - since
    assert message.body["alert"] in {"task_failed", "transformation_failed", "run_failed"}


def test_dead_scheduler_full_disk_and_dead_warehouse(
    stack: RunningStack, on_call: OnCall, receivers: Receivers
) -> None:
    """The warehouse hangs under a run; then the scheduler hangs, too, and the spool runs full."""
    first = stack.runs()[-1]["dag_run_id"]
    ended(stack, first, within=200)
    on_call.signs_of_life = len(receivers.received["deadman"])

    warehouse = stop(stack, "-m emulator")
    at_warehouse = time.time()
    run_id = stack.trigger()
    eventually(lambda: stack.tasks_of(run_id).get("seal_segments") == "success", within=60, what="the run has sealed")
    scheduler = stop(stack, "airflow scheduler")
    at_scheduler = time.time()
    control(stack, "POST", {"kind": "burst", "product_id": "BTC-USD", "trades": 9000})
    on_call.gets("spool_full", STREAMER, since=at_scheduler, within=40, cause="disk budget full")
    message = on_call.gets("segments_unsealed", STREAMER, since=at_scheduler, within=40, cause="scheduler stopped")
    assert "segments" in message.body["details"]["Safe in the spool"]
    on_call.gets(
        "segments_unloaded", STREAMER, since=at_warehouse, within=60, cause="warehouse down, told by the streamer"
    )

    go_on(scheduler)
    message = on_call.gets(
        "warehouse_unreachable",
        MAIN,
        since=at_warehouse,
        within=RUN_LIMIT_SECONDS + 40,
        cause="warehouse down, told by Airflow",
    )
    assert "does not answer" in message.body["details"]["Cause"]
    go_on(warehouse)
    ended(stack, run_id, within=120)


def test_failing_runs_and_a_dead_streamer(stack: RunningStack, on_call: OnCall, receivers: Receivers) -> None:
    """A cause that comes back with every run is one incident; that nobody captures is seen by the look at the marts."""
    streamer = stop(stack, "-m streamer")
    at_streamer = time.time()

    for number in range(2):
        write_broken_segment(stack, number)
        since = time.time()
        run_id = stack.trigger()
        if number == 0:
            message = on_call.gets("segment_quarantined", MAIN, since=since, within=60, cause="task failed")
            assert message.body["log"].startswith("http")
        assert ended(stack, run_id, within=100) == "failed"
    assert len(receivers.webhooks(alert="segment_quarantined")) == 1, "one incident, one message"

    run_id = stack.trigger()
    on_call.gets("capture_stopped", MAIN, since=at_streamer, within=150, cause="streamer dead")
    go_on(streamer)


def test_a_good_run_ends_every_incident_and_gives_the_sign_of_life(
    stack: RunningStack, on_call: OnCall, receivers: Receivers
) -> None:
    """Once all is well: a recovery for each incident, resolved at PagerDuty, and the dead man's switch is reached."""
    since = time.time()
    # On a machine so busy that a run takes longer than trades may be old, it takes another run.
    assert any(ended(stack, stack.trigger(), within=200) == "success" for _ in range(3))

    for alert, scope in (
        ("warehouse_unreachable", MAIN),
        ("segment_quarantined", MAIN),
        ("capture_stopped", MAIN),
    ):
        on_call.gets(alert, scope, since=since, within=60, cause=f"{alert}, recovery", kind="recovered")
    for alert in ("segments_unsealed", "segments_unloaded", "spool_full"):
        on_call.gets(alert, STREAMER, since=0, within=90, cause=f"{alert}, recovery", kind="recovered")
    assert len(receivers.received["deadman"]) == on_call.signs_of_life + 1, (
        "only a run that is fully verified is a sign of life"
    )
    # What began later is new: in this stack nobody seals after the run.
    events = receivers.received["pagerduty"]
    triggered = {
        each.body["dedup_key"] for each in events if each.body["event_action"] == "trigger" and each.at < since
    }
    resolved = {each.body["dedup_key"] for each in events if each.body["event_action"] == "resolve"}
    assert {key for key in triggered - resolved if MAINTENANCE not in key} == set()
    print("\n".join(f"{cause}: {seconds:.0f} s" for cause, seconds in measured.items()))


def test_what_was_sent_keeps_to_the_rules_of_the_services(receivers: Receivers) -> None:
    """All of it fits the schemas of Slack, PagerDuty and our webhook; every incident reached all its channels."""
    assert receivers.problems() == []
    told = {each.body["incident"] for each in receivers.webhooks()}
    critical = {each.body["incident"] for each in receivers.webhooks(severity="critical")}
    assert {each.body["dedup_key"] for each in receivers.received["pagerduty"]} == critical
    assert len(receivers.received["slack"]) == len(receivers.webhooks())
    assert len({letter["References"] for letter in receivers.mails()}) == len(told)
