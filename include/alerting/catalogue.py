"""The alerts there are. Each has a page of the same name in docs/runbooks; a test keeps both complete."""

import enum
from typing import Final

import msgspec


class Severity(enum.StrEnum):
    """How soon somebody has to look."""

    CRITICAL = "critical"
    """Now, also at night: data are not captured, or the marts fall behind."""
    WARNING = "warning"
    """In the morning."""

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return 1 if self is Severity.CRITICAL else 0


class Origin(enum.StrEnum):
    """Who notices."""

    AIRFLOW = "airflow"
    STREAMER = "streamer"
    OUTSIDE = "outside"
    """The service behind the dead man's switch."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of alert."""

    alert_id: str
    severity: Severity
    origin: Origin
    title: str
    impact: str
    """What it means for whoever uses the data."""
    first_command: str
    """What to try first, on the machine of the installation. Looks, and changes nothing."""
    is_generic: bool = False
    """It says that something failed, not what: it joins an incident of the same scope that says more."""
    remains: str = ""
    """What a recovery does not undo."""

    @property
    def runbook(self) -> str:
        """The page's file name in docs/runbooks."""
        return f"{self.alert_id}.md"


_KEPT = "Nothing is lost: what is captured waits in the spool."
_NOT_CAPTURED = "Trades of this time are missing until they are fetched again (backfill, mode refetch)."

_ALL: Final = (
    Alert(
        alert_id="task_failed",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="A task failed after its last try",
        impact=f"The run stops there. {_KEPT}",
        first_command="make status",
        is_generic=True,
    ),
    Alert(
        alert_id="run_failed",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="A run failed",
        impact=f"The marts stay as the last good run left them. {_KEPT}",
        first_command="make status",
        is_generic=True,
    ),
    Alert(
        alert_id="run_late",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="A run does not end",
        impact=f"The next run waits for it, and the marts fall behind. {_KEPT}",
        first_command="make status",
        is_generic=True,
    ),
    Alert(
        alert_id="run_not_started",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="A run does not start",
        impact=f"The marts fall behind. {_KEPT}",
        first_command="make logs PART=scheduler",
        is_generic=True,
    ),
    Alert(
        alert_id="warehouse_unreachable",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="The warehouse cannot be reached",
        impact=f"Nothing is loaded or transformed. {_KEPT} The next run catches up by itself.",
        first_command="make logs PART=warehouse",
    ),
    Alert(
        alert_id="segment_quarantined",
        severity=Severity.WARNING,
        origin=Origin.AIRFLOW,
        title="A segment failed validation and was set aside",
        impact="Its trades are missing in the marts until somebody repaired it; all other segments went on.",
        first_command="find \"$PULSE_HOME\" -path '*/quarantined/*.reason.json' -mmin -120 -exec cat {} +",
        remains="The segment stays in quarantined/ until somebody looked at it.",
    ),
    Alert(
        alert_id="batch_waiting",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="A batch waits for a person",
        impact="Its records are missing in the marts. All other batches are loaded.",
        first_command="make fsck",
    ),
    Alert(
        alert_id="load_failed",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="BigQuery does not load a batch",
        impact=f"Nothing new reaches the marts. {_KEPT}",
        first_command="make fsck",
    ),
    Alert(
        alert_id="transformation_failed",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="dbt failed",
        impact="The marts named below are stale. What is loaded is covered by the next run that succeeds.",
        first_command="make status",
    ),
    Alert(
        alert_id="data_stale",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="Products are stale in the marts",
        impact="The marts miss the newest trades of the products named below, though data arrive.",
        first_command="make status",
    ),
    Alert(
        alert_id="capture_stopped",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="Nothing is captured",
        impact=f"No streamer has delivered anything. {_NOT_CAPTURED}",
        first_command="make logs PART=streamer",
        remains=_NOT_CAPTURED,
    ),
    Alert(
        alert_id="consistency_broken",
        severity=Severity.CRITICAL,
        origin=Origin.AIRFLOW,
        title="Spool, ledger and warehouse contradict each other",
        impact="Some records may be missing or wrong in the marts; the findings say which.",
        first_command="make fsck",
    ),
    Alert(
        alert_id="segments_unsealed",
        severity=Severity.CRITICAL,
        origin=Origin.STREAMER,
        title="Nobody seals what is captured",
        impact=f"Airflow does not run market_pulse, and the marts fall behind. {_KEPT}",
        first_command="make status",
    ),
    Alert(
        alert_id="segments_unloaded",
        severity=Severity.CRITICAL,
        origin=Origin.STREAMER,
        title="Sealed segments are not loaded",
        impact=f"The marts fall behind. {_KEPT}",
        first_command="make status",
    ),
    Alert(
        alert_id="feed_silent",
        severity=Severity.CRITICAL,
        origin=Origin.STREAMER,
        title="No data come from the exchange",
        impact=f"Nothing is captured for the products of the connection. {_NOT_CAPTURED}",
        first_command="make logs PART=streamer",
        remains=_NOT_CAPTURED,
    ),
    Alert(
        alert_id="disk_failing",
        severity=Severity.CRITICAL,
        origin=Origin.STREAMER,
        title="The disk does not take what is captured",
        impact=f"What is received waits in memory; when that is full nothing is captured. {_NOT_CAPTURED}",
        first_command='df -h "$PULSE_HOME"; df -i "$PULSE_HOME"',
    ),
    Alert(
        alert_id="spool_filling",
        severity=Severity.WARNING,
        origin=Origin.STREAMER,
        title="The spool is at 80 % of its budget",
        impact="When it is full nothing is captured any more.",
        first_command="make status",
    ),
    Alert(
        alert_id="spool_full",
        severity=Severity.CRITICAL,
        origin=Origin.STREAMER,
        title="The spool's budget is used up",
        impact=f"Nothing is captured until there is room again. {_NOT_CAPTURED}",
        first_command="make status",
        remains=_NOT_CAPTURED,
    ),
    Alert(
        alert_id="no_verified_run",
        severity=Severity.CRITICAL,
        origin=Origin.OUTSIDE,
        title="The dead man's switch was not reached in time",
        impact="No run was fully verified for longer than the service allows: a red task, or a whole machine that is"
        f" down. {_KEPT}",
        first_command="make status",
    ),
    Alert(
        alert_id="page_test",
        severity=Severity.WARNING,
        origin=Origin.AIRFLOW,
        title="Test of the alert channels",
        impact="None: somebody ran make page-test.",
        first_command="make page-test",
    ),
)

ALERTS: Final = {alert.alert_id: alert for alert in _ALL}
