"""One batch from the ledger's `composed` to its segments in loaded/, whatever BigQuery answers.

The order of the writes carries the promise: dead letters → next attempt → load job → ledger (loaded) → folder.
"""

import logging
import time
from collections.abc import Mapping, Set

import msgspec

from include.config import PipelineConfig
from include.spool import Manifest, SegmentName, Spool, State
from include.spool.refused import keep_refused_lines
from include.warehouse.bad_lines import Bounds, Search, SearchGivenUp
from include.warehouse.batch_reader import EXTRA, BatchReader
from include.warehouse.batches import Batch
from include.warehouse.dead_letters import BadLine
from include.warehouse.loader import LoadFailed, LoadOptions, LoadResult, adopt, load
from include.warehouse.outcomes import Reaction
from include.warehouse.table_specs import load_spec
from include.warehouse.warehouse import Warehouse

DAG_ID = "market_pulse"

log = logging.getLogger(__name__)


class LoadedBatch(msgspec.Struct, frozen=True):
    """What one batch brought."""

    segments: int
    records: int
    bytes: int
    dead_letters: int


class BatchLoading:
    """Loads one batch, under its lock."""

    def __init__(
        self, spool: Spool, warehouse: Warehouse, config: PipelineConfig, batch: Batch, *, run_id: str
    ) -> None:
        self._spool = spool
        self._warehouse = warehouse
        self._config = config
        self._batch = batch
        self._labels = {"dag": DAG_ID, "run": run_id}
        self._options = LoadOptions.of(config)
        self._names = [SegmentName.parse(segment.segment) for segment in batch.segments]
        self._paths = [spool.path(name, State.SEALED) for name in self._names]
        self._excluded: dict[str, set[int]] = {}
        self._searched_in_vain = False
        self._columns: Set[str] = {field.name for field in load_spec("messages").schema} - {EXTRA}

    def run(self, attempt: int, *, is_new: bool) -> LoadedBatch:
        """Bring the batch to its end. One that is not new may have a job already, under this attempt or none.

        Raises LoadError, SegmentChanged, SpoolError, OSError, and what the client library raises: the batch is then
        unfinished, and calling again goes on from there.
        """
        manifests = [self._spool.manifest(name, State.SEALED) for name in self._names]
        result = None
        if not is_new:
            self._excluded = self._warehouse.dead_letters.refused(self._batch.batch_id)
            try:
                result = adopt(
                    self._warehouse.client,
                    self._batch,
                    attempt,
                    self._reader(manifests).records,
                    options=self._options,
                )
            except LoadFailed as error:
                attempt = self._answer(error, attempt, manifests)
        while result is None:
            result, attempt = self._load(attempt, manifests)
        self._close(result, manifests)
        return LoadedBatch(
            len(self._names), result.output_rows, self._batch.bytes, self._batch.records - result.output_rows
        )

    def move(self) -> None:
        """Take the segments of a closed batch to loaded/."""
        for name in self._names:
            self._spool.mark_loaded(name)

    def _load(self, attempt: int, manifests: list[Manifest]) -> tuple[LoadResult | None, int]:
        """The result, or the attempt to try now because bad lines were found."""
        reader = self._reader(manifests)
        try:
            return load(
                self._warehouse.client,
                self._batch,
                attempt,
                reader,
                labels=self._labels,
                options=self._options,
            ), attempt
        except LoadFailed as error:
            following = self._answer(error, attempt, manifests)
            if error.reaction is not Reaction.BAD_LINES:
                raise
            return None, following

    def _answer(self, error: LoadFailed, attempt: int, manifests: list[Manifest]) -> int:
        """What follows from a job that is known to have failed, written down; the attempt to submit next."""
        log.warning("%s", error)
        if error.reaction is Reaction.BAD_LINES:
            self._exclude_bad_lines(manifests)
        return self._warehouse.ledger.next_attempt(self._batch, attempt)

    def _exclude_bad_lines(self, manifests: list[Manifest]) -> None:
        excluded = sum(map(len, self._excluded.values()))
        bounds = Bounds(self._config.dead_letters_max - excluded, self._config.probe_jobs_max)
        found = Search(self._warehouse.client, self._batch, self._reader(manifests), self._options, bounds).run()
        if not found and (not excluded or self._searched_in_vain):
            raise SearchGivenUp(
                f"batch {self._batch.batch_id} is refused, while a scratch table takes all its lines. Hint: the fault "
                f"is not in the data; compare {self._batch.table_id} with include/warehouse/schemas/messages.json"
            )
        # Its bad lines may be written down since the job was submitted: once, that is reason enough to go on.
        self._searched_in_vain = not found
        for bad in found:
            log.warning("%s line %d is left out: %s", bad.line.segment, bad.line.line_no, bad.error)
            self._excluded.setdefault(bad.line.segment, set()).add(bad.line.line_no)
        self._copy_to_quarantine(found)
        self._warehouse.dead_letters.add_refused(self._batch, found)

    def _copy_to_quarantine(self, found: list[BadLine]) -> None:
        errors: Mapping[str, str] = {bad.line.segment: bad.error for bad in reversed(found)}
        for segment, error in errors.items():
            keep_refused_lines(
                self._spool, SegmentName.parse(segment), self._excluded[segment], error, now_ns=time.time_ns()
            )

    def _reader(self, manifests: list[Manifest]) -> BatchReader:
        drifting = {manifest.segment for manifest in manifests if any(drift.kind == "new" for drift in manifest.drift)}
        return BatchReader(self._batch, self._paths, excluded=self._excluded, drifting=drifting, columns=self._columns)

    def _close(self, result: LoadResult, manifests: list[Manifest]) -> None:
        """Ledger first, folder second: a segment in loaded/ is always proven by the ledger."""
        if any(manifest.types.get("malformed") for manifest in manifests):
            self._warehouse.dead_letters.add_undecodable(self._batch)
        self._warehouse.drift.add(manifests)
        self._warehouse.ledger.mark_loaded(
            self._batch, job_id=result.job_id, output_rows=result.output_rows, loaded_at=result.loaded_at
        )
        log.info("batch %s: %d rows by job %s", self._batch.batch_id, result.output_rows, result.job_id)
        self.move()
