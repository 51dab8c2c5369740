"""The last tasks of market_pulse: is what is in the marts new, and the sign of life of a run that is fully verified.

As in `tasks`, imports are inside the tasks.
"""

# mypy: disallow-untyped-decorators=False

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import task

from include.config import AlertConfig, PipelineConfig, Source, load
from market_pulse.tasks import _report, _warehouse

log = logging.getLogger(__name__)


@task(trigger_rule="none_failed")
def verify_freshness(dag_run: Any = None) -> dict[str, Any]:
    """Fail for good when a product's newest trade is older than PULSE_FRESHNESS_LIMIT_SECONDS and not just quiet.

    Replayed trades are as old as their recording: they are not judged. What the first look after a pause finds stale
    may just be what the pause left: it is no failure, and no sign of life either. Airflow gives `dag_run`.
    """
    from airflow.sdk.exceptions import AirflowFailException

    from include.config import StreamerConfig
    from include.pipeline.freshness import CaptureStopped, DataStale, insist, look

    config = load(AlertConfig)
    if config.resolved_source() is Source.REPLAY:
        return _report({"judged": False, "why": "a replay"})
    report = look(_warehouse(), load(StreamerConfig).product_ids(), limit_seconds=config.freshness_limit_seconds)
    is_first = _is_first_look(config)
    outcome = {**report.to_dict(), "judged": bool(report.fresh or report.quiet)}
    try:
        insist(
            report,
            now=datetime.now(UTC),
            run_started_at=dag_run.start_date,
            limit_seconds=config.freshness_limit_seconds,
        )
    except (CaptureStopped, DataStale) as error:
        if not is_first:
            raise AirflowFailException(str(error)) from error
        log.warning("first look after a pause, the next run judges: %s", error)
        outcome["judged"] = False
    return _report(outcome)


@task(trigger_rule="none_failed")
def report_alive(freshness: dict[str, Any]) -> dict[str, Any]:
    """Ask for PULSE_DEADMAN_URL: only when every other task of the run ended well and the marts were judged fresh.

    Fails for nothing: that the switch cannot be reached is for its own service to notice.
    """
    from include.alerting import AlertConfigError, AlertDesk, Secrets
    from include.alerting.deadman import ping

    if not freshness.get("judged"):
        return _report({"alive": False, "why": "the freshness was not judged"})
    config = load(AlertConfig)
    traded_at = freshness.get("traded_at")
    AlertDesk(config, with_connections=True).verified(datetime.fromisoformat(traded_at) if traded_at else None)
    try:
        url = Secrets(config).read("deadman_url")
    except AlertConfigError as error:
        log.error("no sign of life can be given: %s", error)
        return _report({"alive": True, "pinged": False})
    if not url:
        return _report({"alive": True, "pinged": False})
    error_text = ping(url, timeout_seconds=config.alert_timeout_seconds)
    if error_text:
        log.warning("the dead man's switch could not be reached: %s", error_text)
    return _report({"alive": True, "pinged": not error_text})


def _is_first_look(config: AlertConfig) -> bool:
    """Whether no run looked for long: the first one, and the first after Airflow stood still."""
    from include.alerting import AlertDesk

    before = AlertDesk(config, with_connections=True).looked()
    pause_seconds = config.freshness_limit_seconds + 2 * load(PipelineConfig).schedule_seconds
    return before is None or datetime.now(UTC) - before > timedelta(seconds=pause_seconds)
