"""Where alerts are reported and recoveries told: decides what is to be sent, and remembers.

Every method is one short transaction on the shared state. Nothing is sent here: the caller gets `Dispatch`es, sends
them, and tells `delivered` how that went. What a channel did not take is handed out again, to whatever process calls
next, after `_RETRY`; so is what a process that died did not send. So each message arrives at least once.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from include.alerting import incidents
from include.alerting.catalogue import ALERTS
from include.alerting.incidents import ChannelTrouble, Incident, Kind, Occurrence, Schedule, State
from include.alerting.message import Message, build, trouble_note
from include.alerting.routing import configured_channels, route
from include.alerting.secrets import Secrets
from include.alerting.store import AlertStore
from include.config import AlertConfig, ChannelName

log = logging.getLogger(__name__)

_RETRY: Final = timedelta(seconds=60)
#: A recovery that a channel did not take for so long is of no use to anybody.
_STALE: Final = timedelta(days=1)
_ERROR_MAX: Final = 200


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """One message and the channels it is to go to now."""

    message: Message
    channels: tuple[ChannelName, ...]
    incident_key: str = ""
    noted: tuple[ChannelName, ...] = ()
    """The channels whose trouble the message tells of."""


class Delivery(msgspec.Struct, frozen=True):
    """What became of a message on one channel."""

    channel: ChannelName
    error: str = ""
    """Empty: the channel took it."""


class AlertDesk:
    """One per process. `with_connections`: whether Airflow connections can be used here.

    A state that cannot be read or written keeps nobody from being told: the process goes on with one of its own, and
    messages say that they may come again. `shared` false: it touches no file to begin with.
    """

    def __init__(
        self,
        config: AlertConfig,
        *,
        with_connections: bool,
        shared: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self.secrets = Secrets(config)
        self._with_connections = with_connections
        self._now = now
        self._store = AlertStore(config.resolved_alerts_dir()) if shared else None
        self._schedule = Schedule(update_minutes=config.alert_update_minutes, flap_minutes=config.alert_flap_minutes)
        self._own = State()
        self._trouble = ""

    def report(self, occurrence: Occurrence) -> list[Dispatch]:
        """Something went wrong. What is to be sent now: nothing, while its incident is known and no update is due."""
        occurrence = msgspec.structs.replace(occurrence, detail=self.secrets.redact(occurrence.detail))
        with self._state() as state:
            incident, kind = incidents.note(state, occurrence, self._schedule)
            if self._trouble and incident.messages == 1:
                self._name_without_memory(state, incident)
            if kind is not None:
                self._claim(incident, self._route(incident))
            return [*self._dispatch(state, incident, kind), *self._overdue(state)]

    def recover(self, scope: str, alert_id: str | None = None) -> list[Dispatch]:
        """All is well with a scope, or with one alert of it. What is to be sent now."""
        with self._state() as state:
            over = incidents.recovered(state, scope, self._now(), self._schedule, alert_id)
            dispatches = []
            for incident in over:
                self._claim(incident, self._route(incident))
                dispatches += self._dispatch(state, incident, Kind.RECOVERED)
            return [*dispatches, *self._overdue(state)]

    def overdue(self) -> list[Dispatch]:
        """What channels did not take before."""
        with self._state() as state:
            return self._overdue(state)

    def verified(self, traded_until: datetime | None) -> None:
        """A run was fully verified just now."""
        with self._state() as state:
            state.verified_at, state.traded_until = self._now(), traded_until

    def looked(self) -> datetime | None:
        """A run looks at the freshness of the marts just now; when one did before."""
        with self._state() as state:
            before, state.looked_at = state.looked_at, self._now()
            return before

    def delivered(self, dispatch: Dispatch, deliveries: Iterable[Delivery]) -> None:
        """How sending went."""
        results = list(deliveries)
        with self._state() as state:
            for incident in state.every():
                if incident.key == dispatch.incident_key:
                    self._settle(incident, dispatch, results)
            for result in results:
                self._note_channel(state, result)
            if any(not result.error for result in results):
                for channel in dispatch.noted:
                    if (trouble := state.channels.get(channel)) is not None:
                        trouble.told = True

    def test(self) -> Dispatch:
        """A message for every configured channel, whatever its route; remembered nowhere."""
        now = self._now()
        alert = ALERTS["page_test"]
        incident = Incident(
            key=f"test/{now:%Y%m%dT%H%M%S}",
            alert_id=alert.alert_id,
            scope="page-test",
            detail="No incident: this message shows that the channel works.",
            opened_at=now,
            last_at=now,
            last_run="",
            failing=["nothing"],
        )
        message = build(incident, Kind.TEST, State(), self.config, now=now)
        channels = configured_channels(self.config, with_connections=self._with_connections)
        return Dispatch(message=message, channels=channels)

    def open_alerts(self, scope: str) -> set[str]:
        """The alerts of a scope whose incidents are open."""
        with self._state() as state:
            return {incident.alert_id for incident in state.open.values() if incident.scope == scope}

    @contextlib.contextmanager
    def _state(self) -> Iterator[State]:
        if self._store is None:
            yield self._own
            return
        with contextlib.ExitStack() as stack:
            try:
                state = stack.enter_context(self._store.transaction())
            except OSError as error:
                self._without_memory(error)
                yield self._own
                return
            yield state
            try:
                stack.close()
            except OSError as error:
                self._own = state
                self._without_memory(error)
            else:
                self._trouble = ""

    def _without_memory(self, error: OSError) -> None:
        self._trouble = f"the state of the alerts cannot be kept ({error}): messages may come twice"
        log.warning("%s", self._trouble)

    def _name_without_memory(self, state: State, incident: Incident) -> None:
        """A name that every process without memory gives the same cause, so that PagerDuty makes one incident of it."""
        state.open.pop(incident.key, None)
        incident.key = f"{incident.scope}/{incident.alert_id}"
        state.open[incident.key] = incident

    def _route(self, incident: Incident) -> tuple[ChannelName, ...]:
        return route(self.config, incident.alert.severity, with_connections=self._with_connections)

    def _claim(self, incident: Incident, channels: Sequence[ChannelName]) -> None:
        incidents.claim(incident, channels, self._now() + _RETRY)

    def _dispatch(self, state: State, incident: Incident, kind: Kind | None) -> list[Dispatch]:
        channels = self._route(incident)
        if kind is None or not channels:
            return []
        return [self._built(state, incident, kind, channels)]

    def _overdue(self, state: State) -> list[Dispatch]:
        now = self._now()
        mine = configured_channels(self.config, with_connections=self._with_connections)
        dispatches = []
        for incident in state.every():
            if incident.resolved_at is not None and now - incident.resolved_at > _STALE:
                continue
            channels = tuple(name for name in mine if name in incident.pending and incident.pending[name] <= now)
            if channels:
                self._claim(incident, channels)
                dispatches.append(self._built(state, incident, incident.kind_now(), channels))
        return dispatches

    def _built(self, state: State, incident: Incident, kind: Kind, channels: tuple[ChannelName, ...]) -> Dispatch:
        untold = {ChannelName(name): each for name, each in state.channels.items() if not each.told}
        notes = [trouble_note(channel, trouble) for channel, trouble in untold.items()]
        if self._trouble:
            notes.append(self._trouble)
        message = build(incident, kind, state, self.config, now=self._now(), notes=tuple(notes))
        return Dispatch(message=message, channels=channels, incident_key=incident.key, noted=tuple(untold))

    def _settle(self, incident: Incident, dispatch: Dispatch, results: Sequence[Delivery]) -> None:
        for result in results:
            if result.error:
                incident.pending[result.channel] = self._now() + _RETRY
            elif dispatch.message.kind is Kind.RECOVERED or incident.resolved_at is None:
                # A recovery that was decided on meanwhile stays pending.
                incident.pending.pop(result.channel, None)

    def _note_channel(self, state: State, result: Delivery) -> None:
        trouble = state.channels.get(result.channel)
        if not result.error:
            if trouble is not None:
                del state.channels[result.channel]
            return
        error = self.secrets.redact(result.error)[:_ERROR_MAX]
        if trouble is None:
            state.channels[result.channel] = ChannelTrouble(since=self._now(), failures=1, error=error)
        else:
            trouble.failures += 1
            trouble.error = error
