"""
### market_pulse_backfill: past data again

"Trigger" asks for a mode, a window (UTC, the end is exclusive) and, for a refetch, products. A **dry run** says what it would cost.

| mode | does |
|---|---|
| refetch | trades of any past window from the exchange's REST API, also of products that were never streamed |
| replay | archived segments again into raw (if they were removed there), or into datasets of another prefix |
| rebuild | marts of whole days again from raw, one day after the other |

What is fetched goes the usual way: spool → market_pulse → marts. So the schedule goes on beside it, and no table has two writers.
**Every task can be killed, cleared or retried**: a refetch goes on at the page it was at. The run ends with a report: `report_backfill`, return value. On call: docs/runbooks.

| what you see | what it means | what to do |
|---|---|---|
| `check_request` or `plan_refetch` red, "refused" | the request makes no sense as it is | the text says what to change; trigger again |
| `refetch_trades` orange for long | the exchange answers with 429 or 5xx, or market_pulse is behind | its log has the figures; nothing to do |
| `refetch_trades` red, "NotTransformed" | market_pulse has not taken over what was fetched for hours | see market_pulse; then clear the task |
| `refetch_trades` red, "SpoolLocked" | a task that was given up still runs | wait a minute, clear the task |
| `await_marts` yellow for long | market_pulse is paused or fails | see market_pulse |
| `await_marts` red, "SegmentSetAside" | a segment failed validation | its `.reason.json`; trigger again: what is missing is fetched |
| report has `still_missing` | the exchange's listing has no such trades | ids are in the report; docs/backfill.md |
"""

from datetime import timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, TaskGroup

from include.config import PipelineConfig, load
from market_pulse.alarms import dag_alarms, task_alarms
from market_pulse.backfill import (
    MAIN_DAG,
    build_other_marts,
    check_request,
    choose_mode,
    choose_way,
    plan_rebuild,
    plan_refetch,
    refetch_trades,
    replay_archive,
    report_backfill,
)
from market_pulse.backfill_params import params
from market_pulse.backfill_sensors import AwaitMarts, AwaitReplay

config = load(PipelineConfig)


def start_market_pulse() -> TriggerDagRunOperator:
    """What waits in the spool is taken over at once, not at the next turn of the schedule."""
    return TriggerDagRunOperator(task_id="start_market_pulse", trigger_dag_id=MAIN_DAG, logical_date=None)


with DAG(
    dag_id="market_pulse_backfill",
    description="Refetch, replay or rebuild a past window",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    params=params(),
    default_args={
        "owner": "market-pulse",
        "retries": config.task_retries,
        "retry_delay": timedelta(seconds=config.task_retry_seconds),
        **task_alarms(),
    },
    tags=["layer:raw", "layer:marts"],
    **dag_alarms(),
):
    request = check_request()
    with TaskGroup("refetch") as refetch:
        refetch_trades.expand(lane=plan_refetch(request)) >> start_market_pulse() >> AwaitMarts(task_id="await_marts")
    with TaskGroup("replay") as replay:
        start = start_market_pulse()
        replay_archive(request) >> choose_way(request) >> [start, build_other_marts(request)]
        start >> AwaitReplay(task_id="await_replay")
    with TaskGroup("rebuild") as rebuild:
        TriggerDagRunOperator.partial(
            task_id="rebuild_day",
            trigger_dag_id=MAIN_DAG,
            logical_date=None,
            reset_dag_run=True,
            wait_for_completion=True,
            poke_interval=2,
            max_active_tis_per_dagrun=1,
            map_index_template="{{ task.trigger_run_id[9:19] }}",
        ).expand_kwargs(plan_rebuild(request))
    choose_mode(request) >> [refetch, replay, rebuild] >> report_backfill(request)
