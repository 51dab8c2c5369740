"""The ledger against the segments that are there, and against the rows in raw.messages."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from include.config import PipelineConfig
from include.pipeline.findings import Finding, Kind
from include.pipeline.spool_checks import SpoolChecks
from include.spool import ManifestInvalid, SegmentName, Spool, State, UnknownFormat
from include.warehouse.audit import Audit, AuditedBatch, AuditedSegment
from include.warehouse.warehouse import Warehouse

#: A batch takes minutes at most; what is unfinished for longer is stuck.
UNFINISHED_SECONDS: Final = 3600


class _Records(NamedTuple):
    """The record numbers of one segment, both inclusive."""

    name: SegmentName
    first: int
    last: int
    is_recent: bool


class WarehouseChecks:
    """One look, over the batches written down since `since`. `files` is the look at the files that was taken before."""

    def __init__(
        self,
        spool: Spool,
        warehouse: Warehouse,
        config: PipelineConfig,
        files: SpoolChecks,
        audit: Audit,
        *,
        since: datetime,
        now: datetime,
    ) -> None:
        self._spool = spool
        self._config = config
        self._files = files
        self._present = {name for names in files.places.values() for name in names} | set(files.archived)
        self._batches = audit.batches(since)
        self._segments = audit.segments(since, (name.session_id for name in files.places[State.SEALED]))
        self._audit = audit
        self._warehouse = warehouse
        self._now = now

    def findings(self) -> Iterator[Finding]:
        """Everything that is found, unordered."""
        rows = self._rows()
        for batch in self._batches:
            if not batch.is_loaded:
                yield from self._unfinished(batch, rows)
            elif self._is_countable(batch) and rows.get(batch.batch_id, 0) != batch.rows:
                yield self._rows_differ(batch, rows.get(batch.batch_id, 0))
        yield from self._rows_without_batch
        yield from self._missing_segments()
        yield from self._missing_records()

    # ----------------------------------------------------------------------- rows

    def _rows(self) -> Mapping[str, int]:
        """Rows in raw by batch, over the receipts of all batches looked at."""
        self._rows_without_batch: list[Finding] = []
        countable = [batch for batch in self._batches if self._is_countable(batch)]
        if not countable:
            return {}
        found = self._audit.rows(
            min(batch.received_at_min for batch in countable), max(batch.received_at_max for batch in countable)
        )
        self._rows_without_batch = [
            Finding(
                Kind.ROWS_WITHOUT_BATCH,
                f"batch {rows.batch_id}",
                f"{rows.row_count} rows of {self._warehouse.messages_id} have a batch id that the ledger does not know",
                "restore the ledger (BigQuery keeps seven days: for system_time as of), or delete these rows",
            )
            for rows in found
            if not rows.is_known
        ]
        return {rows.batch_id: rows.row_count for rows in found}

    def _is_countable(self, batch: AuditedBatch) -> bool:
        """Whether none of its rows can have expired, and all of them are in the table of this configuration."""
        kept_since = self._now - timedelta(days=self._warehouse.config.raw_expiration_days - 1)
        return (
            batch.table_id == self._warehouse.messages_id and datetime.fromisoformat(batch.received_at_min) > kept_since
        )

    def _rows_differ(self, batch: AuditedBatch, found: int) -> Finding:
        return Finding(
            Kind.ROWS_DIFFER,
            f"batch {batch.batch_id}",
            f"raw.messages has {found} rows of it; it has {batch.records} records, of which {batch.refused} are dead"
            f" letters, so {batch.rows} rows are due",
            f"somebody changed {batch.table_id}. To load the batch anew: delete its rows there and its row in"
            f" ops.batches, then move its segments back to sealed/ (docs/operations.md)",
        )

    # -------------------------------------------------------------------- batches

    def _unfinished(self, batch: AuditedBatch, rows: Mapping[str, int]) -> Iterator[Finding]:
        names = [SegmentName.parse(segment) for segment in batch.segments]
        gone = [name.file_name for name in names if name not in self._present]
        job = f"pulse_load_{batch.batch_id}_{batch.attempt}"
        found = rows.get(batch.batch_id, 0)
        if gone:
            yield Finding(
                Kind.BATCH_UNFINISHED,
                f"batch {batch.batch_id}",
                f"it is not loaded, and {len(gone)} of its {len(names)} segments are nowhere, first {gone[0]};"
                f" raw.messages has {found} rows of it",
                "put the segments and their manifests back into sealed/. If they are gone for good, "
                + (
                    f"close it by hand: job {job} has brought its rows (docs/operations.md)"
                    if found and found == batch.rows
                    else "delete its row in ops.batches and any rows of it in raw.messages: what is left of its"
                    " segments is loaded anew, the others show as missing records"
                ),
            )
        elif batch.age_seconds >= UNFINISHED_SECONDS:
            yield Finding(
                Kind.BATCH_UNFINISHED,
                f"batch {batch.batch_id}",
                f"it was written down {batch.age_seconds // 60} minutes ago and is not loaded",
                f"look at job {job} and at the log of load_segments; the next run of market_pulse tries again",
            )

    # ------------------------------------------------------------------- segments

    def _missing_segments(self) -> Iterator[Finding]:
        """Loaded segments that retention cannot have deleted: it begins with the oldest day."""
        has_retention = self._config.archive_max_days is not None or self._config.archive_max_bytes is not None
        oldest = min((segment.day for segment in self._files.archived.values()), default="9")
        for segment in self._segments:
            if not (segment.is_loaded and segment.is_recent) or segment.name in self._present:
                continue
            if not has_retention or segment.received_at_min[:10] > oldest:
                yield Finding(
                    Kind.SEGMENT_MISSING,
                    segment.segment,
                    "it is loaded, and neither in loaded/ nor in the archive",
                    "its rows are in raw.messages; restore it from a backup, or it cannot be replayed",
                )

    def _missing_records(self) -> Iterator[Finding]:
        on_their_way = set(self._files.places[State.ACTIVE]) | set(self._files.places[State.SEALING])
        quarantined = set(self._spool.segments(State.QUARANTINED))
        ordered = sorted((*map(_of_ledger, self._segments), *self._sealed()), key=lambda records: records.name)
        for session, group in groupby(ordered, key=lambda records: records.name.session):
            before = _Records(SegmentName(session.streamer_id, session.session_id, 0), 0, 0, is_recent=False)
            for earlier, later in pairwise((before, *group)):
                between = [name for name in on_their_way if earlier.name < name < later.name]
                if later.first == earlier.last + 1 or not later.is_recent or between:
                    continue
                yield _hole(earlier, later, [name for name in quarantined if earlier.name < name < later.name])

    def _sealed(self) -> Iterator[_Records]:
        """Segments that are in no batch yet."""
        in_batches = {segment.segment for segment in self._segments}
        for name in self._files.places[State.SEALED]:
            if name.file_name in in_batches or name.file_name in self._files.known:
                continue
            try:
                manifest = self._spool.manifest(name, State.SEALED)
            except (ManifestInvalid, UnknownFormat):
                continue  # a finding of its own
            yield _Records(name, manifest.first_record_no, manifest.last_record_no, is_recent=True)


def _of_ledger(segment: AuditedSegment) -> _Records:
    return _Records(segment.name, segment.first_record_no, segment.last_record_no, segment.is_recent)


def _hole(earlier: _Records, later: _Records, quarantined: Iterable[SegmentName]) -> Finding:
    session = later.name.session
    subject = f"session {session.session_id} of {session.streamer_id}, before record {later.first}"
    if later.first <= earlier.last:
        return Finding(
            Kind.RECORDS_MISSING,
            subject,
            f"{later.name.file_name} begins with record {later.first}; {earlier.name.file_name} ends with"
            f" {earlier.last}: numbers occur twice",
            "two segments claim the same records: compare them",
        )
    names = sorted(name.file_name for name in quarantined)
    return Finding(
        Kind.RECORDS_MISSING,
        subject,
        f"records {earlier.last + 1} to {later.first - 1} are in no segment that is sealed or was ever loaded",
        f"quarantined/ has {', '.join(names)}: read the reason beside it"
        if names
        else f"look for a segment with a number from {earlier.name.segment_no + 1} to {later.name.segment_no - 1} in"
        f" backups; without it these records are lost",
    )
