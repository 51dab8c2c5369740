"""Incidents: one per cause, from its first occurrence to its recovery. Data and pure decisions, no files."""

import enum
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from include.alerting.catalogue import ALERTS, Alert
from include.config import ChannelName

_CLOSED_MAX = 100
_FAILING_MAX = 10
_DAY = timedelta(days=1)


class Kind(enum.StrEnum):
    """Why a message is sent."""

    OPENED = "opened"
    UPDATE = "update"
    REOPENED = "reopened"
    RECOVERED = "recovered"
    TEST = "test"


class Waiting(msgspec.Struct, frozen=True):
    """What lies in the spool and is not in the warehouse yet."""

    segments: int
    bytes: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller knows about the impact at this moment. None: not known."""

    stale_marts: tuple[str, ...] = ()
    """Empty where all are affected, or none is."""
    waiting: Waiting | None = None


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """Something went wrong once."""

    alert_id: str
    scope: str
    """The DAG, or the streamer: causes of different scopes are never the same."""
    what: str
    """What failed, for example a task."""
    detail: str
    at: datetime
    run_id: str = ""
    log_url: str = ""
    facts: Facts = Facts()

    @property
    def alert(self) -> Alert:
        """Its entry in the catalogue."""
        return ALERTS[self.alert_id]


class Incident(msgspec.Struct, kw_only=True):
    """One cause. It is open while `resolved_at` is None."""

    key: str
    """Names the incident for ever; deduplicates at PagerDuty."""
    alert_id: str
    scope: str
    detail: str
    opened_at: datetime
    last_at: datetime
    last_run: str
    log_url: str = ""
    facts: Facts = Facts()
    failing: list[str] = []
    occurrences: int = 1
    """Of a DAG: runs, however many tasks and callbacks of them report."""
    messages: int = 0
    """Decided on, recovery not counted."""
    last_message_at: datetime | None = None
    flaps: int = 0
    ok_since: datetime | None = None
    resolved_at: datetime | None = None
    pending: dict[str, datetime] = {}
    """Channel → when to try it next, for those that have not taken the last message."""

    @property
    def alert(self) -> Alert:
        """Its entry in the catalogue."""
        return ALERTS[self.alert_id]

    def kind_now(self) -> Kind:
        """What a channel that missed messages is to be told now."""
        if self.resolved_at is not None:
            return Kind.RECOVERED
        if self.messages > 1:
            return Kind.UPDATE
        return Kind.REOPENED if self.flaps else Kind.OPENED


class ChannelTrouble(msgspec.Struct, kw_only=True):
    """A channel that does not take messages."""

    since: datetime
    failures: int
    error: str
    told: bool = False
    """Whether another channel has reported it."""


class State(msgspec.Struct, kw_only=True):
    """All that is remembered."""

    open: dict[str, Incident] = {}
    closed: list[Incident] = []
    """The newest last."""
    channels: dict[str, ChannelTrouble] = {}
    verified_at: datetime | None = None
    """When a run was last fully verified."""
    traded_until: datetime | None = None
    """Exchange time of the newest trade in the marts then."""
    looked_at: datetime | None = None
    """When a run last looked at the freshness of the marts."""

    def every(self) -> Iterator[Incident]:
        """All incidents, open and closed."""
        yield from self.open.values()
        yield from self.closed


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When an incident that goes on is told of again, and what counts as the same incident."""

    update_minutes: Sequence[int]
    flap_minutes: int

    def update_due(self, incident: Incident, now: datetime) -> bool:
        """Whether it is time for the next update."""
        number = max(incident.messages - 1, 0)
        if number < len(self.update_minutes):
            return now - incident.opened_at >= timedelta(minutes=self.update_minutes[number])
        return incident.last_message_at is None or now - incident.last_message_at >= _DAY

    def flap_window(self, flaps: int) -> timedelta:
        """Twice as long each time it came back."""
        return timedelta(minutes=self.flap_minutes * 2 ** max(flaps - 1, 0))


def note(state: State, occurrence: Occurrence, schedule: Schedule) -> tuple[Incident, Kind | None]:
    """File an occurrence: its incident, and what is to be told of it, if anything."""
    now = occurrence.at
    incident = _open_incident(state, occurrence)
    if incident is not None:
        _go_on(incident, occurrence)
        if not schedule.update_due(incident, now):
            return incident, None
        kind = Kind.UPDATE
    elif (incident := _recently_closed(state, occurrence, schedule)) is not None:
        state.closed.remove(incident)
        state.open[incident.key] = incident
        incident.flaps += 1
        incident.resolved_at = None
        _go_on(incident, occurrence)
        kind = Kind.REOPENED
    else:
        incident = _opened(occurrence)
        state.open[incident.key] = incident
        kind = Kind.OPENED
    incident.messages += 1
    incident.last_message_at = now
    return incident, kind


def recovered(
    state: State, scope: str, now: datetime, schedule: Schedule, alert_id: str | None = None
) -> list[Incident]:
    """All is well again with a scope, or with one alert of it: the incidents that are over by that.

    One that came back before is over only when it has stayed away for its time; this has to be called again until then.
    """
    over = []
    for incident in [each for each in state.open.values() if each.scope == scope]:
        if alert_id not in (None, incident.alert_id):
            continue
        incident.ok_since = incident.ok_since or now
        if incident.flaps and now - incident.ok_since < schedule.flap_window(incident.flaps):
            continue
        incident.resolved_at = incident.ok_since
        del state.open[incident.key]
        state.closed.append(incident)
        over.append(incident)
    del state.closed[:-_CLOSED_MAX]
    return over


def _open_incident(state: State, occurrence: Occurrence) -> Incident | None:
    """The open incident an occurrence belongs to: of the same alert, or of the same run, or for one that says only that
    something failed, the last of its scope."""
    alert = occurrence.alert
    candidates = [each for each in state.open.values() if each.scope == occurrence.scope]
    candidates.sort(key=lambda each: each.last_at, reverse=True)
    for incident in candidates:
        if incident.alert_id == occurrence.alert_id:
            return incident
    for incident in candidates:
        same_run = bool(occurrence.run_id) and incident.last_run == occurrence.run_id
        no_worse = alert.severity.rank <= incident.alert.severity.rank
        if (same_run and (no_worse or alert.is_generic)) or (alert.is_generic and no_worse):
            return incident
    return None


def _recently_closed(state: State, occurrence: Occurrence, schedule: Schedule) -> Incident | None:
    for incident in reversed(state.closed):
        if (incident.scope, incident.alert_id) == (occurrence.scope, occurrence.alert_id):
            resolved_at = incident.resolved_at
            assert resolved_at is not None, "a closed incident is resolved"
            is_recent = occurrence.at - resolved_at < schedule.flap_window(incident.flaps + 1)
            return incident if is_recent else None
    return None


def _opened(occurrence: Occurrence) -> Incident:
    return Incident(
        key=f"{occurrence.scope}/{occurrence.alert_id}/{occurrence.at:%Y%m%dT%H%M%S}",
        alert_id=occurrence.alert_id,
        scope=occurrence.scope,
        detail=occurrence.detail,
        opened_at=occurrence.at,
        last_at=occurrence.at,
        last_run=occurrence.run_id,
        log_url=occurrence.log_url,
        facts=occurrence.facts,
        failing=[occurrence.what],
    )


def _go_on(incident: Incident, occurrence: Occurrence) -> None:
    if not occurrence.run_id or incident.last_run != occurrence.run_id:
        incident.occurrences += 1
    says_more = incident.alert.is_generic and not occurrence.alert.is_generic
    if says_more:
        incident.alert_id = occurrence.alert_id
    if says_more or incident.last_run != occurrence.run_id or not occurrence.alert.is_generic:
        incident.detail = occurrence.detail
        incident.log_url = occurrence.log_url or incident.log_url
    incident.last_at = max(incident.last_at, occurrence.at)
    incident.last_run = occurrence.run_id or incident.last_run
    incident.facts = occurrence.facts
    incident.ok_since = None
    is_named = occurrence.what in incident.failing or (occurrence.what == occurrence.scope and incident.failing)
    if not is_named and len(incident.failing) < _FAILING_MAX:
        incident.failing.append(occurrence.what)


def claim(incident: Incident, channels: Sequence[ChannelName], until: datetime) -> None:
    """The caller sends now; should it die, others try after `until`."""
    for channel in channels:
        incident.pending[channel.value] = until
