"""A batch: the exact list of segments that one load job brings, and the ids that derive from its content.

Pure: nothing here reads a file or talks to BigQuery.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Self

import msgspec

from include.spool import Manifest

_ID_DIGITS = 32


class BatchSegment(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger keeps of a segment's manifest (the fields and their form are the manifest's)."""

    segment: str
    streamer_id: str
    session_id: str
    segment_no: int
    first_record_no: int
    last_record_no: int
    records: int
    bytes: int
    sha256: str
    received_at_min: str
    received_at_max: str
    traded_at_min: str | None
    traded_at_max: str | None
    sealed_at: str

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The part of a manifest that the ledger keeps."""
        return msgspec.convert(manifest, cls, from_attributes=True)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Segments in the order of their upload, bound for one table. Never empty, never changed once written down."""

    source: str
    table_id: str
    segments: tuple[BatchSegment, ...]

    @property
    def batch_id(self) -> str:
        """Derives from what is loaded and where to, so the same content has the same id whoever composes it."""
        content = [self.table_id, *((segment.segment, segment.sha256) for segment in self.segments)]
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:_ID_DIGITS]

    def job_id(self, attempt: int) -> str:
        """Id of the load job: submitting it twice meets 409. `attempt` rises only after the job before has failed."""
        return f"pulse_load_{self.batch_id}_{attempt}"

    @property
    def records(self) -> int:
        """Lines in all segments."""
        return sum(segment.records for segment in self.segments)

    @property
    def bytes(self) -> int:
        """Bytes in all segments."""
        return sum(segment.bytes for segment in self.segments)

    @property
    def received_at_min(self) -> str:
        """Earliest receipt. Instants have one form (UTC, six decimals), so text sorts as time does."""
        return min(segment.received_at_min for segment in self.segments)

    @property
    def received_at_max(self) -> str:
        """Latest receipt."""
        return max(segment.received_at_max for segment in self.segments)

    @property
    def traded_at_min(self) -> str | None:
        """Earliest exchange time of a trade, None where there is none."""
        return min((segment.traded_at_min for segment in self.segments if segment.traded_at_min), default=None)

    @property
    def traded_at_max(self) -> str | None:
        """Latest exchange time of a trade, None where there is none."""
        return max((segment.traded_at_max for segment in self.segments if segment.traded_at_max), default=None)


def compose(manifests: Iterable[Manifest], *, table_id: str, max_bytes: int, max_segments: int) -> list[Batch]:
    """Pack every segment into exactly one batch, the oldest first.

    A batch holds at most `max_segments` segments and `max_bytes` bytes; a segment larger than that gets a batch of
    its own. The result depends on the manifests only, not on their order.
    """
    ordered = sorted(manifests, key=lambda m: (m.received_at_min, m.streamer_id, m.session_id, m.segment_no))
    return [
        Batch(
            source=group[0].source, table_id=table_id, segments=tuple(BatchSegment.of(manifest) for manifest in group)
        )
        for group in _groups(ordered, max_bytes, max_segments)
    ]


def _groups(manifests: list[Manifest], max_bytes: int, max_segments: int) -> Iterator[list[Manifest]]:
    group: list[Manifest] = []
    size = 0
    for manifest in manifests:
        if group and (len(group) >= max_segments or size + manifest.bytes > max_bytes):
            yield group
            group, size = [], 0
        group.append(manifest)
        size += manifest.bytes
    if group:
        yield group
