"""Batches, jobs and the ledger against a model of BigQuery that loses requests and replies, delays jobs and fails them.

The step `load_segments` is the product's own, from the sealed files to the HTTP requests of the client library; only
the network is replaced, and the ledger's store (whose behaviour is compared with the real one below). It is killed
before and after any call. The laws hold after every action: each record at most once in raw, a batch closed only when
all of it is there, no segment in two batches; and in the end every record is in raw or a dead letter, exactly once.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast
from unittest import mock

import requests
from google.api_core import exceptions
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from include import pipeline
from include.config import PipelineConfig
from include.spool import SegmentName, State
from include.warehouse import Window
from include.warehouse.batches import Batch, BatchSegment
from include.warehouse.ledger import Ledger, LedgerError
from include.warehouse.loader import LoadError
from include.warehouse.statements import Statements
from tests.pipeline.conftest import Run
from tests.pipeline.fake_bigquery import POISON, QUIET, Calls, Clock, FakeBigQuery, Fate, Killed, in_trouble
from tests.pipeline.model_ledger import ModelDeadLetters, ModelDriftLog, ModelLedger, ModelWarehouse, model_config
from tests.warehouse.spools import match, new_spool, sealed_segment

EXAMPLES, STEPS = 60, 25
#: Runs without any trouble that must be enough to end everything.
QUIET_RUNS = 12

fates: tuple[Fate, ...] = ("done", "slow", "very slow", "backendError", "quotaExceeded", "accessDenied")
REFUSED_HERE = b'{"type":"match","trade_id":"x","price":"1","product_id":"BTC-USD"}'
LINES = {
    "good": match(1),
    "bad": REFUSED_HERE,
    "poisoned": match(2, price=POISON),
    "malformed": b"no JSON",
    "unknown": b'{"type":"auction","lot":7}',
}
lines = st.lists(st.sampled_from(["good"] * 6 + list(LINES)), min_size=1, max_size=5)
#: What goes wrong in one action. Drawn by a seed: choices of Hypothesis' own would come too early or not at all.
troubles = st.builds(
    lambda seed, probability: Calls(Random(seed), probability),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.03, 0.06, 0.12, 0.3]),
)
sealings = st.lists(lines, max_size=3)
some_fates = st.lists(st.sampled_from(fates), max_size=3)

#: What a task may fail with; it is then tried again.
FAILURES = (LoadError, exceptions.GoogleAPIError, requests.RequestException)


class LoadMachine(RuleBasedStateMachine):
    """See the module."""

    kills = 0
    failures = 0

    @initialize()
    def create(self) -> None:
        """An empty spool and an empty warehouse."""
        self.stack = ExitStack()
        self.spool = new_spool(Path(self.stack.enter_context(tempfile.TemporaryDirectory())))
        self.clock = Clock()
        self.stack.enter_context(mock.patch("time.sleep", self.clock.sleep))
        self.stack.enter_context(mock.patch("time.monotonic", self.clock.monotonic))
        self.bigquery = FakeBigQuery(self.clock)
        self.ledger = ModelLedger(self._statement)
        self.letters = ModelDeadLetters(self._statement)
        config, client = model_config(), self.bigquery.client()
        self.warehouse = ModelWarehouse(
            config,
            client,
            cast(Ledger, self.ledger),
            cast(Any, self.letters),
            cast(Any, ModelDriftLog(self._statement)),
            Statements(client, config),
        )
        self.surplus: list[str] = []
        self.records: dict[tuple[str, int], str] = {}
        self.mart: set[tuple[str, int]] = set()
        self.runs = 0

    def _statement(self, statement: Callable[[], object]) -> object:
        return in_trouble(self.bigquery.calls.next(), statement)

    @contextmanager
    def _task(self, troubles: Calls) -> Iterator[None]:
        """A task that may be killed, or fail for a reason that passes."""
        self.bigquery.calls = troubles
        try:
            yield
        except Killed:
            LoadMachine.kills += 1
            event("killed")
        except FAILURES as error:
            LoadMachine.failures += 1
            event(type(error).__name__)
        finally:
            self.bigquery.calls = QUIET

    # ------------------------------------------------------------------ actions

    @rule(sealed=sealings, troubles=troubles, some_fates=some_fates, at_most=st.sampled_from([None, 1]))
    def load(self, sealed: list[list[str]], troubles: Calls, some_fates: list[Fate], at_most: int | None) -> None:
        """Some more segments are sealed; the task load_segments."""
        for kinds in sealed:
            name = sealed_segment(self.spool, [LINES[kind] for kind in kinds])
            self.records |= {(name.session_id, record_no): kind for record_no, kind in enumerate(kinds, 1)}
        self.bigquery.fates = list(some_fates)
        with self._task(troubles):
            self.surplus = self._load(at_most)["surplus"]

    def _load(self, at_most: int | None) -> dict[str, Any]:
        self.runs += 1
        config = PipelineConfig(
            batch_max_segments=2, load_timeout_seconds=60, load_start_timeout_seconds=30, load_request_timeout_seconds=9
        )
        return pipeline.load_segments(self.spool, self.warehouse, config, run_id=f"run-{self.runs}", at_most=at_most)

    @rule(troubles=troubles, some_fates=some_fates)
    def load_surplus(self, troubles: Calls, some_fates: list[Fate]) -> None:
        """A mapped task load_batch."""
        if self.surplus:
            self.bigquery.fates = list(some_fates)
            with self._task(troubles):
                pipeline.load_batch(self.spool, self.warehouse, PipelineConfig(), self.surplus.pop(0), run_id="mapped")

    @rule(troubles=troubles, dbt_succeeds=st.booleans())
    def transform(self, troubles: Calls, dbt_succeeds: bool) -> None:
        """The tasks open_window, dbt and close_window."""
        with self._task(troubles):
            self._transform(dbt_succeeds)

    def _transform(self, dbt_succeeds: bool) -> None:
        window = pipeline.open_window(self.warehouse)
        if window is not None and dbt_succeeds:
            self.mart |= {key for key, batch_id in self._raw() if batch_id in window.batch_ids}
            pipeline.close_window(self.warehouse, Window.from_dict(window.to_dict()), run_id="run")

    @rule(seconds=st.sampled_from([1, 500]))
    def wait(self, seconds: int) -> None:
        """Jobs that take long come to their end, whoever still asks for them."""
        self.clock.sleep(seconds)
        self.bigquery.settle()

    # ------------------------------------------------------------------ laws

    def _raw(self) -> list[tuple[tuple[str, int], str]]:
        rows = self.bigquery.rows.get("messages", [])
        return [((row["session_id"], row["record_no"]), row["batch_id"]) for row in rows]

    def _left_out(self) -> set[tuple[str, int]]:
        return {(SegmentName.parse(segment).session_id, line_no) for segment, line_no in self.letters.letters}

    @invariant()
    def each_record_is_in_raw_at_most_once_and_no_dead_letter_is(self) -> None:
        """Never twice, not even for a moment; and nothing that was written down as left out."""
        keys = [key for key, _ in self._raw()]
        assert len(keys) == len(set(keys))
        assert set(keys) <= self.records.keys()
        assert not set(keys) & self._left_out()

    @invariant()
    def a_batch_is_closed_only_when_it_is_complete(self) -> None:
        """Rows of raw and dead letters are the whole batch; and the ledger's count is that of the rows."""
        rows = Counter(batch_id for _, batch_id in self._raw())
        left_out = Counter(self.letters.letters.values())
        for batch_id, entry in self.ledger.entries.items():
            if entry.loaded_at is not None:
                assert rows[batch_id] == entry.output_rows == entry.batch.records - left_out[batch_id]
            if entry.is_transformed:
                assert {key for key, owner in self._raw() if owner == batch_id} <= self.mart

    @invariant()
    def a_segment_is_in_one_batch_and_leaves_sealed_only_when_loaded(self) -> None:
        """What lies in loaded/ is proven by the ledger."""
        names = [item.segment for entry in self.ledger.entries.values() for item in entry.batch.segments]
        assert len(names) == len(set(names))
        loaded = {
            item.segment
            for entry in self.ledger.entries.values()
            if entry.loaded_at is not None
            for item in entry.batch.segments
        }
        assert {name.file_name for name in self.spool.segments(State.LOADED)} <= loaded

    def teardown(self) -> None:
        """When the trouble ends, some runs are enough to bring everything to its end."""
        if not hasattr(self, "stack"):
            return
        with self.stack:
            self.bigquery.fates = []
            for _ in range(QUIET_RUNS):
                self.wait(500)
                with self._task(QUIET):
                    self._load(None)
                self._transform(dbt_succeeds=True)
            loaded, left_out = {key for key, _ in self._raw()}, self._left_out()
            assert loaded | left_out == self.records.keys()
            assert left_out == {key for key, kind in self.records.items() if kind in ("bad", "poisoned")}
            assert self.mart == loaded
            assert self.spool.segments(State.SEALED) == []
            assert self.ledger.unfinished() == []
            self.each_record_is_in_raw_at_most_once_and_no_dead_letter_is()
            self.a_batch_is_closed_only_when_it_is_complete()


def test_batches_jobs_and_ledger_keep_the_laws_whatever_dies_or_is_lost() -> None:
    """Some hundred kills and failures later every record is there once."""
    LoadMachine.kills = LoadMachine.failures = 0

    run_state_machine_as_test(
        LoadMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )

    assert LoadMachine.kills > EXAMPLES // 2
    assert LoadMachine.failures > EXAMPLES // 2


def test_the_model_of_the_ledger_does_what_the_ledger_does(run: Run) -> None:
    """The same calls in a random order, repetitions and contradictions among them, with the same results."""
    chance = Random(20260707)
    model, real = ModelLedger(), run.warehouse.ledger
    names = [sealed_segment(run.spool, [match(number)]) for number in range(5)]
    manifests = [run.spool.manifest(name, State.SEALED) for name in names]
    choices = [manifests[:1], manifests[1:3], manifests[2:4], manifests[3:], manifests[:2]]
    batches = [
        Batch(
            source="simulated",
            table_id="market-pulse.pulse_sim_raw.messages",
            segments=tuple(BatchSegment.of(item) for item in choice),
        )
        for choice in choices
    ]
    files = [name.file_name for name in names]
    for _ in range(20):
        batch, attempt = chance.choice(batches), chance.randint(1, 3)
        loaded_at = datetime(2026, 7, 7, 23, 0, chance.randrange(60), tzinfo=UTC)
        is_known = batch.batch_id in model.entries
        call = chance.choice(
            [
                partial(_compose, batch),
                partial(_state, batch),
                partial(_next_attempt, batch, attempt) if is_known else partial(_jobs, batch),
                partial(_mark_loaded, batch, loaded_at) if is_known else partial(_state, batch),
                partial(_mark_transformed, batch),
                partial(_window, batch),
            ]
        )
        assert _result(call, model) == _result(call, real)
        assert model.unfinished() == real.unfinished()
        assert model.known_segments(files) == real.known_segments(files)


def _compose(batch: Batch, ledger: Any) -> object:
    return ledger.compose(batch, dag_run_id="run")


def _state(batch: Batch, ledger: Any) -> object:
    return ledger.state(batch.batch_id)


def _next_attempt(batch: Batch, attempt: int, ledger: Any) -> object:
    return ledger.next_attempt(batch, attempt)


def _jobs(batch: Batch, ledger: Any) -> object:
    return ledger.jobs_of_last_day(batch.table_id)


def _mark_loaded(batch: Batch, loaded_at: datetime, ledger: Any) -> object:
    return ledger.mark_loaded(batch, job_id="job", output_rows=batch.records, loaded_at=loaded_at)


def _mark_transformed(batch: Batch, ledger: Any) -> object:
    return ledger.mark_transformed([batch.batch_id], "run")


def _window(_: Batch, ledger: Any) -> object:
    return ledger.loaded_not_transformed()


def _result(call: Callable[[Any], object], ledger: object) -> object:
    try:
        return call(ledger)
    except LedgerError:
        return LedgerError
