"""A look into a spool from outside, as the pipeline has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from include.spool import SealKind, Spool, State, read_records, seal_all


class Line(NamedTuple):
    """One record, as a reader of the spool sees it."""

    session_id: str
    record_no: int
    connection_no: int
    type: str
    frame: bytes | None
    """As received; None for control records."""
    detail: dict[str, Any]
    """Of control records."""
    product_id: str | None
    """Of control records that concern one product."""


@dataclass
class SpoolView:
    """Looks into a spool from outside, as the pipeline does."""

    path: Path

    def open(self) -> Spool:
        """The spool itself."""
        return Spool.open(self.path, "simulated", create=False)

    def seal(self) -> list[Line]:
        """Seal all there is; every record in order. Fails when a segment is busy or bad, or a number missing."""
        spool = self.open()
        kinds = {outcome.kind for outcome in seal_all(spool, 2.0).outcomes}
        assert kinds <= {SealKind.SEALED, SealKind.EMPTY}
        lines = [line for name in spool.segments(State.SEALED) for line in _lines(spool.path(name, State.SEALED))]
        numbers: dict[str, list[int]] = {}
        for line in lines:
            numbers.setdefault(line.session_id, []).append(line.record_no)
        assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
        return lines

    def count_sealed(self) -> int:
        """Sealed segments."""
        return len(self.open().segments(State.SEALED))


def _lines(segment: Path) -> Iterator[Line]:
    for record, row in zip(read_records(segment), segment.read_bytes().splitlines(), strict=True):
        own = msgspec.json.decode(row) if record.frame is None else {"detail": {}}
        envelope = record.envelope
        yield Line(
            envelope.session_id,
            envelope.record_no,
            envelope.connection_no,
            record.type,
            record.frame,
            own["detail"],
            own.get("product_id"),
        )


def frames(lines: list[Line]) -> list[bytes]:
    """The received frames among the lines."""
    return [line.frame for line in lines if line.frame is not None]


def control(lines: list[Line], type_: str) -> list[dict[str, Any]]:
    """The details of the control records of a type."""
    return [line.detail for line in lines if line.type == type_]
