"""
### market_pulse_products: what the exchange says of its products

Every six hours, and at once in a new installation: asks the exchange's REST API for its list of products and writes it to the spool, one record a product. The next run
of market_pulse loads it; `dim_products` has the newest entry of each product, `dim_product_history` every change of status, increments and flags.

On call: docs/runbooks has a page for every alert.

| what you see | what it means | what to do |
|---|---|---|
| `record_listing` red, "RestUnavailable" | the exchange's REST API does not answer | nothing: trades go on, the dimension keeps its last list; the next run asks again |
| `record_listing` red, "RestRefused" | the exchange refuses the request | the text has its words; is `PULSE_REST_URL` right? |
| `record_listing` red, "RestMalformed" | the list is not as documented | look at the excerpt in the log; the exchange may have changed its API |
| `is_listed` false in `dim_products` | traded, and in no list so far | look at the last run here, then at the last run of market_pulse |
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from include.config import PipelineConfig, load
from market_pulse.alarms import dag_alarms, task_alarms
from market_pulse.tasks import record_listing

with DAG(
    dag_id="market_pulse_products",
    description="The exchange's list of products into the spool",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("40 */6 * * *", timezone="UTC"),
    # In the past, so that a new installation asks at once: the hour that was missed last is made good.
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "market-pulse",
        "retries": load(PipelineConfig).task_retries,
        "retry_delay": timedelta(minutes=1),
        **task_alarms(),
    },
    tags=["layer:raw"],
    **dag_alarms(end_within=timedelta(hours=1)),
):
    record_listing()
