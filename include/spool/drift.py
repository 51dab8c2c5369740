"""Drift: how the messages of a segment differ from their contracts."""

from collections.abc import Iterable

import msgspec

from .inspector import Change

MAX_ENTRIES = 100
MAX_TEXT = 200
"""Longest type, field or example, in characters; the rest is cut off."""

OTHER_TYPE = "pulse_other"
"""Type of the entries that count what had no place: no message can have it."""


class Drift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which messages differ from their contract. `count` is in lines; line numbers count from 1 in the
    segment; `example` is the value in the first of these lines, as sent, null when the field is missing."""

    type: str
    field: str
    kind: Change
    count: int
    first_line_no: int
    example: str | None


class DriftTally:
    """Counts drift in bounded memory: past MAX_ENTRIES different ones, all further ones of a kind count as one."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, Change], Drift] = {}

    def add(self, message_type: str, line_no: int, deviations: Iterable[tuple[str, Change, str | None]]) -> None:
        """Count the deviations of one line; lines come in their order."""
        for field, kind, example in deviations:
            key = (message_type[:MAX_TEXT], field[:MAX_TEXT], kind)
            if key not in self._entries and len(self._entries) >= MAX_ENTRIES:
                key = (OTHER_TYPE, "", kind)
            self._count(key, line_no, example)

    def _count(self, key: tuple[str, str, Change], line_no: int, example: str | None) -> None:
        known = self._entries.get(key)
        if known is None:
            text = None if example is None else example[:MAX_TEXT]
            self._entries[key] = Drift(*key, 1, line_no, text)
        else:
            self._entries[key] = msgspec.structs.replace(known, count=known.count + 1)

    def entries(self) -> list[Drift]:
        """All drift, sorted by type, field and kind."""
        return [self._entries[key] for key in sorted(self._entries)]
