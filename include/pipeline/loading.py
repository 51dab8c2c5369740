"""Step 2: sealed segments into raw.messages, each exactly once.

Batches are composed and written down first, all of them, under the spool's loader lock; then each is loaded under a
lock of its own, by this step or by another task. Whatever dies in between, the next run finds the batch unfinished and
ends it under its own id, or finds the segment loaded and only moves it.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from include.config import PipelineConfig
from include.pipeline.batch_loading import BatchLoading, LoadedBatch
from include.pipeline.composing import compose_batches
from include.pipeline.loader_lock import BatchBusy, batch_lock, loader_lock
from include.spool import Spool
from include.warehouse.bad_lines import SearchGivenUp, TooManyBadLines
from include.warehouse.batch_reader import SegmentChanged
from include.warehouse.batches import Batch
from include.warehouse.loader import BatchIncomplete
from include.warehouse.warehouse import Warehouse

#: What is wrong with one batch only, and for a person to look at: the others go on.
FAULTS_OF_ONE_BATCH = (TooManyBadLines, SearchGivenUp, BatchIncomplete, SegmentChanged)
#: Airflow maps a task to 1,024 instances at most; what is beyond waits for the next run.
SURPLUS_MAX = 500

log = logging.getLogger(__name__)


def load_segments(
    spool: Spool, warehouse: Warehouse, config: PipelineConfig, *, run_id: str, at_most: int | None = None
) -> dict[str, Any]:
    """Compose everything in sealed/, then load and close every unfinished batch, the oldest first.

    With `at_most`, that many are loaded, and `surplus` in the outcome names the others, for `load_batch`. A batch that
    another run is loading is left to it. One that cannot be loaded as it is (FAULTS_OF_ONE_BATCH) stays unfinished and
    is named in `faults`, which the caller has to raise the alarm about: what else is loaded must not wait for it.

    Raises LoaderBusy, LoadError, LedgerError, SegmentChanged (of a segment that is in no batch yet), SchemaMismatch,
    SpoolError; OSError; and what the client library raises when the warehouse refuses or is away.
    """
    return _Loader(spool, warehouse, config, run_id).run(at_most)


def load_batch(
    spool: Spool, warehouse: Warehouse, config: PipelineConfig, batch_id: str, *, run_id: str
) -> dict[str, Any]:
    """Load and close one batch that was composed; one that is closed is a success. Raises as `load_segments` does, and
    BatchBusy when another run is loading it."""
    loader = _Loader(spool, warehouse, config, run_id)
    with batch_lock(spool, batch_id):
        loader.load_noted(batch_id)
    return loader.outcome()


class _Loader:
    """One run of the step."""

    def __init__(self, spool: Spool, warehouse: Warehouse, config: PipelineConfig, run_id: str) -> None:
        self._spool = spool
        self._warehouse = warehouse
        self._config = config
        self._run_id = run_id
        self._loaded: list[LoadedBatch] = []

    def run(self, at_most: int | None) -> dict[str, Any]:
        with contextlib.ExitStack() as first_lock:
            with loader_lock(self._spool):
                self._warehouse.prepare()
                unfinished = [entry.batch.batch_id for entry in self._warehouse.ledger.unfinished()]
                composed = compose_batches(self._spool, self._warehouse, self._config, run_id=self._run_id)
                first = composed.batches[0] if composed.batches and not unfinished else None
                if first is not None:
                    # Taken under the loader lock: nobody else can have touched it.
                    first_lock.enter_context(batch_lock(self._spool, first.batch_id))
            waiting = [*unfinished, *(batch.batch_id for batch in composed.batches)]
            faults: list[str] = []
            if first is not None:
                waiting.pop(0)
                faults += self._faults_of(self.load_new, first)
        while waiting and (at_most is None or len(self._loaded) < at_most):
            faults += self._faults_of(self._load_locked, waiting.pop(0))
        return self.outcome() | {
            "faults": faults,
            "recovered_batches": len(unfinished),
            "moved_only": composed.moved,
            "surplus": waiting[:SURPLUS_MAX],
            "widened": composed.widened,
            "waiting_for_quota": composed.waiting,
        }

    def load_new(self, batch: Batch) -> None:
        """A batch that this run has composed, and locked before anybody could see it."""
        self._loaded.append(self._loading(batch).run(1, is_new=True))

    def load_noted(self, batch_id: str) -> None:
        """A batch of the ledger, under its lock."""
        state = self._warehouse.ledger.state(batch_id)
        if state.is_loaded:
            log.info("batch %s is loaded already", batch_id)
            self._loading(state.batch).move()
            return
        log.info("batch %s is to be loaded or adopted at attempt %d", batch_id, state.attempt)
        self._loaded.append(self._loading(state.batch).run(state.attempt, is_new=False))

    def outcome(self) -> dict[str, Any]:
        return {
            "batches": len(self._loaded),
            "segments": sum(batch.segments for batch in self._loaded),
            "records": sum(batch.records for batch in self._loaded),
            "bytes": sum(batch.bytes for batch in self._loaded),
            "dead_letters": sum(batch.dead_letters for batch in self._loaded),
        }

    def _load_locked(self, batch_id: str) -> None:
        try:
            with batch_lock(self._spool, batch_id):
                self.load_noted(batch_id)
        except BatchBusy as error:
            log.info("%s", error)

    def _faults_of[T](self, step: Callable[[T], object], subject: T) -> list[str]:
        try:
            step(subject)
        except FAULTS_OF_ONE_BATCH as error:
            fault = f"{type(error).__name__}: {error}"
            log.error("%s", fault)
            return [fault]
        return []

    def _loading(self, batch: Batch) -> BatchLoading:
        return BatchLoading(self._spool, self._warehouse, self._config, batch, run_id=self._run_id)
