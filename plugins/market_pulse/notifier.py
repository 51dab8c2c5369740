"""The one notifier: of tasks, of runs, and of deadlines.

A failed task calls it in the worker, a run that ended in the dag-processor, a deadline in the triggerer, which awaits
it. All share the incidents in PULSE_ALERTS_DIR (`include.alerting`).
"""

import asyncio
import enum
from collections.abc import Mapping
from typing import Any

from airflow.sdk.bases.notifier import BaseNotifier

from include.alerting import AlertDesk, Dispatch
from include.config import AlertConfig, load


class Moment(enum.StrEnum):
    """When the notifier is called."""

    TASK_FAILED = "task_failed"
    RUN_FAILED = "run_failed"
    RUN_SUCCEEDED = "run_succeeded"
    NOT_STARTED = "not_started"
    NOT_ENDED = "not_ended"


class PulseNotifier(BaseNotifier):  # type: ignore[misc]
    """Reports a failure, or the recovery from one. A channel that is down breaks nothing (docs/alerting.md)."""

    def __init__(self, moment: str = Moment.TASK_FAILED, context: Any = None) -> None:
        super().__init__(context)
        self.moment = moment

    def notify(self, context: Mapping[str, Any]) -> None:
        """Find the incident and send what is due."""
        from market_pulse.channels import send

        config = load(AlertConfig)
        desk = AlertDesk(config, with_connections=True)
        for dispatch in self._dispatches(desk, context):
            deliveries = send(dispatch, config)
            desk.delivered(dispatch, deliveries)
            self.log.info(
                "%s: %s",
                dispatch.message.title,
                ", ".join(f"{each.channel} {each.error or 'ok'}" for each in deliveries),
            )

    async def async_notify(self, context: Mapping[str, Any]) -> None:
        """The same, beside the event loop of the triggerer."""
        await asyncio.to_thread(self.notify, context)

    def _dispatches(self, desk: AlertDesk, context: Mapping[str, Any]) -> list[Dispatch]:
        from market_pulse import failures

        match Moment(self.moment):
            case Moment.RUN_SUCCEEDED:
                return desk.recover(context["dag"].dag_id)
            case Moment.TASK_FAILED:
                return desk.report(failures.of_task(context))
            case Moment.RUN_FAILED:
                return desk.report(failures.of_run(context))
            case Moment.NOT_STARTED | Moment.NOT_ENDED as moment:
                missed = failures.of_deadline(context["dag_run"], must_have_ended=moment is Moment.NOT_ENDED)
                return desk.report(missed) if missed else desk.overdue()
