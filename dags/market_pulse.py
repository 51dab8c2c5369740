"""
### market_pulse: from the spool to the marts

Every two minutes: seal what the streamers wrote, load it once, transform what is new, verify, archive.
A run without new data skips dbt and is green.

**Every task can be cleared or retried at any time**: sealing and archiving are renames, a batch is written down before it is loaded and its load job is found
again by its id, and dbt merges on keys. A failed transformation needs no repair: its window stays open, and the next run covers it.

On call: docs/runbooks has a page for every alert.

| what you see | what it means | what to do |
|---|---|---|
| `seal_segments` red, "quarantined" | a segment failed validation and was set aside, the rest went on | read its `.reason.json` in `quarantined/`; the run can go on |
| `verify_load` red, "BatchIncomplete" | BigQuery loaded another number of rows than the batch has | do not clear; compare the job in the log with the ledger (`<prefix>_ops.batches`) |
| `verify_load` red, "TooManyBadLines" | the other batches went on; BigQuery refuses more lines than may be left out | look at `<prefix>_ops.schema_drift`; raise `PULSE_DEAD_LETTERS_MAX` if the lines may wait in `dead_letters` |
| "LoadNotStarted" | BigQuery has not begun the job | BigQuery's status page; the next run adopts the job |
| "LoadRefused" | a right, a setting or a quota is missing | the text names it; a quota renews by itself |
| "LoadFailed" | the job ended with an error and brought nothing | the next try takes the next job id; "stop and page" needs somebody |
| `load_batch` skipped | there is no backlog | nothing |
| `load_segments` red, connection errors | the warehouse is away | nothing: the spool keeps the data, the next try adopts the job |
| `dbt.dbt_build` red | a model or test failed, and failed again when tried again | the red model's own log has dbt's error; fix, then clear the failed tasks or wait for the next run |
| a model red, `dbt_build` green | only the display: the triggerer was away | nothing: what dbt built is built |
| `verify_freshness` red, "DataStale" or "CaptureStopped" | the newest trades are old, and not because the market is quiet | `docs/runbooks/data_stale.md`, `capture_stopped.md` |
| `report_alive` missing | the run is not verified: no sign of life went to `PULSE_DEADMAN_URL` | look at what is red before it |
| runs queue up | one run at a time by design | look at the oldest running task first |
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.config import AlertConfig, PipelineConfig, load
from market_pulse.alarms import dag_alarms, task_alarms
from market_pulse.tasks import (
    archive_segments,
    close_window,
    load_batch,
    load_segments,
    open_window,
    seal_segments,
    verify_load,
)
from market_pulse.transform import transformation
from market_pulse.verification import report_alive, verify_freshness

config, limits = load(PipelineConfig), load(AlertConfig)

with DAG(
    dag_id="market_pulse",
    description="Spool → raw → staging → marts, exactly once",
    doc_md=__doc__,
    schedule=timedelta(seconds=config.schedule_seconds),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # No backfill runs: Airflow does not count them in max_active_runs, and there is no calendar to fill: what a run
    # transforms comes from the ledger. market_pulse_backfill does past windows (docs/backfill.md).
    allowed_run_types=["scheduled", "manual", "operator_triggered"],
    default_args={
        "owner": "market-pulse",
        "retries": config.task_retries,
        "retry_delay": timedelta(seconds=config.task_retry_seconds),
        **task_alarms(),
    },
    tags=["layer:raw", "layer:marts"],
    **dag_alarms(
        start_within=timedelta(seconds=limits.run_start_limit_seconds),
        end_within=timedelta(seconds=limits.run_limit_seconds),
    ),
):
    window = open_window()
    dbt = transformation()
    (
        seal_segments()
        >> (backlog := load_segments())
        >> (surplus := load_batch.expand(batch_id=backlog))
        >> window
        >> dbt.build
        >> (closed := close_window(window))
        >> (archived := archive_segments())
    )
    window >> dbt.group  # what dbt.build tells of each model
    closed >> (freshness := verify_freshness())
    [archived, surplus >> verify_load()] >> report_alive(freshness)
