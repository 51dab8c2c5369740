"""The steps of `include.pipeline` as Airflow tasks.

Each task builds what it needs from the configuration and calls one function; the step's outcome is its XCom and its
last log line. Imports are inside the tasks: a DAG file is parsed all day, and the BigQuery client alone costs seconds.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task

if TYPE_CHECKING:
    from include.config import PipelineConfig
    from include.spool import Spool
    from include.warehouse import Warehouse

#: Bounds how many batches are loaded at once; made by the stack with PULSE_LOAD_POOL_SLOTS.
LOAD_POOL = "pulse_load"

log = logging.getLogger(__name__)


@task
def seal_segments() -> dict[str, Any]:
    """Take over what the streamers have written and make it immutable.

    A newly quarantined segment fails the task for good: a retry would find nothing new, succeed, and hide it. The next
    run loads what was sealed.
    """
    from airflow.sdk.exceptions import AirflowFailException

    from include.pipeline.sealing import SegmentsQuarantined
    from include.pipeline.sealing import seal_segments as step

    spool, config = _spool()
    try:
        return _report(step(spool, config))
    except SegmentsQuarantined as error:
        raise AirflowFailException(str(error)) from error


@task
def load_segments() -> list[str]:
    """Put sealed segments into batches and load the first of them; the ids of those that a backlog has beyond it.

    The usual run has one batch, which so costs one task. The outcome is the XCom `outcome`: Airflow maps over return
    values only.
    """
    from include.pipeline import load_segments as step

    spool, config = _spool()
    with _no_vain_retries():
        outcome = _report(step(spool, _warehouse(), config, run_id=_run_id(), at_most=1))
    get_current_context()["ti"].xcom_push(key="outcome", value=outcome)
    surplus: list[str] = outcome["surplus"]
    return surplus


@task(pool=LOAD_POOL, map_index_template="{{ batch_id }}")
def load_batch(batch_id: str) -> dict[str, Any]:
    """Load one more batch of a backlog."""
    from include.pipeline import load_batch as step
    from include.pipeline.loading import FAULTS_OF_ONE_BATCH

    spool, config = _spool()
    get_current_context()["batch_id"] = batch_id
    with _no_vain_retries():
        try:
            return _report(step(spool, _warehouse(), config, batch_id, run_id=_run_id()))
        except FAULTS_OF_ONE_BATCH as error:
            return _report({"faults": [f"{type(error).__name__}: {error}"]})


@task(trigger_rule="all_done")
def verify_load() -> dict[str, Any]:
    """Fail when a batch cannot be loaded as it is. Beside the transformation, not before it: what is loaded goes on."""
    from airflow.sdk.exceptions import AirflowFailException

    instance = get_current_context()["ti"]
    first = instance.xcom_pull(task_ids="load_segments", key="outcome")
    if first is None:
        raise AirflowFailException("load_segments did not end well: see its log")
    others = instance.xcom_pull(task_ids="load_batch", map_indexes=None) or ()
    faults = [fault for outcome in (first, *others) for fault in outcome.get("faults", ())]
    if faults:
        raise AirflowFailException(
            f"{len(faults)} batches wait for a person, all others are loaded. {'; '.join(faults)}"
        )
    return _report({"faults": 0})


@task.short_circuit(ignore_downstream_trigger_rules=False, trigger_rule="none_failed")
def open_window() -> dict[str, Any] | None:
    """Bounds of what is loaded but not transformed; nothing new skips the transformation.

    A run that market_pulse_backfill triggers for a rebuild brings its window along, in its conf. Batches that are not
    in the marts yet are not closed by it: the next run does them, again where they lie in the window.
    """
    from include.pipeline import open_window as step
    from include.pipeline.backfill.rebuild import as_of_now
    from include.warehouse import Window

    rebuild = (get_current_context()["dag_run"].conf or {}).get("rebuild")
    warehouse = _warehouse()
    window = as_of_now(warehouse, Window.from_dict(rebuild)) if rebuild else step(warehouse)
    if window is None:
        log.info("nothing to transform: every loaded batch is in the marts")
        return None
    return _report({**window.to_dict(), "environment": window.to_environment()})


@task(trigger_rule="none_failed")
def close_window(window: dict[str, Any] | None) -> dict[str, Any]:
    """Mark the window's batches as transformed. Runs only when no dbt task failed."""
    from include.pipeline import close_window as step
    from include.warehouse import Window

    if not window:
        return _report({"batches": 0})
    return _report(step(_warehouse(), Window.from_dict(window), run_id=_run_id()))


@task(trigger_rule="none_failed")
def archive_segments() -> dict[str, Any]:
    """Move segments whose batch is in the marts to the archive."""
    from include.pipeline import archive_segments as step

    spool, config = _spool()
    return _report(step(spool, _warehouse(), config))


@task
def record_listing() -> dict[str, Any]:
    """Write the exchange's list of products to the spool."""
    from airflow.sdk.exceptions import AirflowFailException

    from include.coinbase.rest import RestMalformed, RestRefused
    from include.config import BackfillConfig, load
    from include.pipeline.listing import record_listing as step

    spool, _ = _spool()
    try:
        return _report(step(spool, load(BackfillConfig)))
    except (RestRefused, RestMalformed) as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _no_vain_retries() -> Iterator[None]:
    """A load that only an operator or another day can help fails at once, and so pages at once."""
    from airflow.sdk.exceptions import AirflowFailException

    from include.warehouse.loader import LoadError

    try:
        yield
    except LoadError as error:
        if error.reaction.is_final:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        raise


def _spool() -> "tuple[Spool, PipelineConfig]":
    from include.config import PipelineConfig, load
    from include.spool import Spool

    config = load(PipelineConfig)
    return Spool.open(config.resolved_spool_dir(), config.resolved_source(), create=True), config


def _warehouse() -> "Warehouse":
    from include.config import WarehouseConfig, load
    from include.warehouse import Warehouse

    return Warehouse.connect(load(WarehouseConfig))


def _run_id() -> str:
    return str(get_current_context()["run_id"])


def _report(outcome: dict[str, Any]) -> dict[str, Any]:
    log.info("outcome: %s", outcome)
    return outcome
