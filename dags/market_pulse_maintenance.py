"""
### market_pulse_maintenance: keeps an installation in order

Twice a day: deletes what the archive's limits exclude (nothing unless they are set), compares spool, archive, ledger and raw.messages, runs the dbt
tests that read whole tables, writes the catalog of dbt's documentation, and deletes Airflow's own old metadata and logs. No task needs another one; each can be cleared at any time. One runs at a
time: beside them the runs of market_pulse go on.

On call: docs/runbooks has a page for every alert.

| what you see | what it means | what to do |
|---|---|---|
| `check_consistency` red | spool, archive, ledger and warehouse contradict each other in a way that only a person can judge | read the findings in its log; each says what to do (docs/operations.md) |
| `check_consistency` green with findings | only such as `make fsck REPAIR=1` repairs without a doubt | run it when they are there again tomorrow |
| `apply_retention` counts `unproven` | an archived segment is due, and damaged or not in the marts | `make fsck DEEP=1` |
| `apply_retention` red, "ArchiveBusy" | archive_segments was at work | nothing: the next try waits for it |
| `check_marts` red | a rule about the marts is broken | dbt's own output in the log names the test |
| `write_catalog` red | the warehouse was away; the documentation shows the catalog of the time before | nothing |
| `clean_metadata` red | Airflow's database cannot be reached by a task | AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD (docs/operations.md) |
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from include.config import PipelineConfig, load
from market_pulse.alarms import dag_alarms, task_alarms
from market_pulse.maintenance import (
    apply_retention,
    check_consistency,
    check_marts,
    clean_metadata,
    delete_logs,
    write_catalog,
)

with DAG(
    dag_id="market_pulse_maintenance",
    description="Retention, consistency, whole-table tests, Airflow's own upkeep",
    doc_md=__doc__,
    # Without a start date the first run waits for its hour: a new installation has no marts yet, and enough to do. Two
    # hours, because a machine that is off at one of them every day would never have a first run.
    schedule=CronTriggerTimetable("10 3,15 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    default_args={
        "owner": "market-pulse",
        "retries": min(load(PipelineConfig).task_retries, 2),
        "retry_delay": timedelta(minutes=1),
        **task_alarms(),
    },
    tags=["layer:ops"],
    **dag_alarms(end_within=timedelta(hours=3)),
):
    apply_retention()
    check_consistency()
    check_marts()
    write_catalog()
    clean_metadata()
    delete_logs()
