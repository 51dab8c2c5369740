"""The faults that lie in wait, and the journal of all that was injected."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec

from simulator.faults import Fault, Waiting
from simulator.instants import Clock, rfc3339

_JOURNAL_ENTRIES = 100_000


class ActiveFault[F: Waiting]:
    """One fault in wait."""

    def __init__(self, fault_id: int, fault: F, expires_at: int | None) -> None:
        self.fault_id = fault_id
        self.fault = fault
        self.expires_at = expires_at
        self.injected = 0

    @property
    def is_spent(self) -> bool:
        """Whether its count is used up."""
        return self.fault.count is not None and self.injected >= self.fault.count

    def described(self) -> dict[str, Any]:
        """As listed by the control endpoint."""
        members = msgspec.json.decode(msgspec.json.encode(self.fault))
        return {"id": self.fault_id, **members, "injected": self.injected}


class ActiveFaults:
    """Registry of waiting faults and journal of injections (the newest 100,000)."""

    def __init__(self, seed: int) -> None:
        self._clock = Clock()
        self._random = Random(seed)
        self._ids = itertools.count(1)
        self._active: dict[int, ActiveFault[Any]] = {}
        self._journal: deque[dict[str, Any]] = deque(maxlen=_JOURNAL_ENTRIES)
        self._injections = 0

    def add(self, fault: Waiting) -> ActiveFault[Any]:
        """Put a fault in wait."""
        expires_at = (
            None if fault.duration_seconds is None else self._clock.now() + round(fault.duration_seconds * 1_000_000)
        )
        active = ActiveFault(next(self._ids), fault, expires_at)
        self._active[active.fault_id] = active
        return active

    def active[F: Waiting](self, *kinds: type[F]) -> Iterator[ActiveFault[F]]:
        """Faults of these kinds that still wait, oldest first."""
        if not self._active:
            return
        now = self._clock.now()
        for active in list(self._active.values()):
            if active.is_spent or (active.expires_at is not None and now >= active.expires_at):
                del self._active[active.fault_id]
            elif isinstance(active.fault, kinds):
                yield active

    def strikes(self, active: ActiveFault[Any]) -> bool:
        """Throw the dice for one occasion that fits."""
        return not active.is_spent and (
            active.fault.probability >= 1 or self._random.random() < active.fault.probability
        )

    def record(self, kind: str, fault_id: int | None = None, **detail: Any) -> None:
        """Write one injection into the journal."""
        self._injections += 1
        self._journal.append(
            {"no": self._injections, "at": rfc3339(self._clock.now()), "kind": kind, "fault_id": fault_id, **detail}
        )

    def hit(self, active: ActiveFault[Any], **detail: Any) -> None:
        """Count an injection of a waiting fault and write it into the journal."""
        active.injected += 1
        self.record(kind_of(active.fault), active.fault_id, **detail)

    def clear(self, fault_id: int | None = None) -> int:
        """Take one fault or all out of wait; returns how many there were."""
        gone = [active for active in self.active(Waiting) if fault_id in (None, active.fault_id)]
        for active in gone:
            del self._active[active.fault_id]
        return len(gone)

    def listed(self) -> list[dict[str, Any]]:
        """Faults in wait, as listed by the control endpoint."""
        return [active.described() for active in self.active(Waiting)]

    def journal(self, select: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Injections so far, oldest first."""
        return [entry for entry in self._journal if select(entry)]


def kind_of(fault: Fault | Waiting) -> str:
    """The `kind` of a fault's JSON form."""
    return str(fault.__struct_config__.tag)
