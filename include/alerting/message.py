"""What people read: built once from an incident, then put into each channel's form (`payloads`)."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from include.alerting.catalogue import Severity
from include.alerting.incidents import ChannelTrouble, Incident, Kind, State
from include.config import AlertConfig, ChannelName

_DETAIL_MAX: Final = 1200
_WORDS: Final = {
    Kind.OPENED: "",
    Kind.UPDATE: "STILL: ",
    Kind.REOPENED: "AGAIN: ",
    Kind.RECOVERED: "RECOVERED: ",
    Kind.TEST: "TEST: ",
}
_MEGABYTE: Final = 1_000_000


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message about one incident."""

    kind: Kind
    severity: Severity
    alert_id: str
    scope: str
    installation: str
    dedup_key: str
    title: str
    """One line, with what failed."""
    since: str
    lines: tuple[tuple[str, str], ...]
    """(label, text), in the order of reading."""
    command: str
    runbook: str
    """An address, or the file's name in the repository."""
    log_url: str
    sent_at: str

    def text(self) -> str:
        """All of it as plain text."""
        labelled = [f"{label}: {text}" for label, text in self.lines]
        links = [f"Log: {self.log_url}"] if self.log_url else []
        return "\n".join([self.title, "", *labelled, *links, f"Runbook: {self.runbook}", f"Try first: {self.command}"])


def build(
    incident: Incident, kind: Kind, state: State, config: AlertConfig, *, now: datetime, notes: tuple[str, ...] = ()
) -> Message:
    """The message on an incident as it stands. `notes` are about the channels."""
    alert = incident.alert
    what = incident.failing[0] if incident.failing else incident.scope
    return Message(
        kind=kind,
        severity=alert.severity,
        alert_id=alert.alert_id,
        scope=incident.scope,
        installation=config.alert_installation,
        dedup_key=f"{config.alert_installation}/{incident.key}",
        title=f"{_WORDS[kind]}{alert.title}: {what}",
        since=instant(incident.opened_at),
        lines=(*_lines(incident, kind, state, now), *([("Channels", "; ".join(notes))] if notes else [])),
        command=alert.first_command,
        runbook=runbook_of(config, alert.runbook),
        log_url=incident.log_url,
        sent_at=instant(now),
    )


def runbook_of(config: AlertConfig, page: str) -> str:
    """Where a page of the runbooks is."""
    base = config.alert_runbook_url
    return f"{base.rstrip('/')}/{page}" if base else f"docs/runbooks/{page}"


def _lines(incident: Incident, kind: Kind, state: State, now: datetime) -> list[tuple[str, str]]:
    alert = incident.alert
    lines = [("Failed", ", ".join(incident.failing)), ("Since", _since(incident, kind, now))]
    if kind is Kind.RECOVERED:
        if alert.remains:
            lines.append(("Remains", alert.remains))
        return lines
    lines.append(("Cause", _shortened(incident.detail)))
    lines.append(("Impact", alert.impact))
    if marts := incident.facts.stale_marts:
        lines.append(("Stale marts", ", ".join(marts)))
    if state.verified_at is not None:
        until = f", with trades until {instant(state.traded_until)}" if state.traded_until else ""
        lines.append(("Marts as of", f"the run verified at {instant(state.verified_at)}{until}"))
    if (waiting := incident.facts.waiting) is not None:
        lines.append(("Safe in the spool", f"{waiting.segments} segments, {_size(waiting.bytes)}, not yet loaded"))
    return lines


def _since(incident: Incident, kind: Kind, now: datetime) -> str:
    times = f", {incident.occurrences} times" if incident.occurrences > 1 else ""
    begun = f"{instant(incident.opened_at)}{times}"
    if kind is Kind.RECOVERED:
        end = incident.resolved_at or now
        return f"{begun}, until {instant(end)} ({duration(incident.opened_at, end)})"
    if kind is Kind.REOPENED:
        return f"{begun}; it had recovered, and came back at {instant(incident.last_at)}"
    return begun if kind is Kind.OPENED else f"{begun} ({duration(incident.opened_at, now)})"


def trouble_note(channel: ChannelName, trouble: ChannelTrouble) -> str:
    """That a channel does not take messages."""
    times = "once" if trouble.failures == 1 else f"{trouble.failures} times"
    return f"{channel} took no message since {instant(trouble.since)}, tried {times}: {trouble.error}"


def instant(moment: datetime) -> str:
    """A moment in messages: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(start: datetime, end: datetime) -> str:
    """A length of time as people say it."""
    seconds = max(int((end - start).total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _size(count: int) -> str:
    return f"{count / _MEGABYTE:.1f} MB" if count >= _MEGABYTE / 10 else f"{count} bytes"


def _shortened(text: str) -> str:
    return text if len(text) <= _DETAIL_MAX else f"{text[: _DETAIL_MAX - 1]}…"
