"""What a DAG file passes to DAG(…) so that people are told when it fails, recovers, or does not run at all.

with DAG(…, default_args={…, **task_alarms()}, **dag_alarms(start_within=…, end_within=…)):
"""

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert

from market_pulse.deadlines import RunQueued
from market_pulse.notifier import Moment, PulseNotifier

#: Airflow's migration from 3.2 to 3.3 stores an interval of whole seconds as an integer, and 3.3.2 then cannot read it:
#: no run of the DAG could be made until its file changes. tests/compose upgrades from such a database.
_NO_WHOLE_SECONDS = timedelta(microseconds=1)


def task_alarms() -> dict[str, Any]:
    """For default_args: every task reports its last failure."""
    return {"on_failure_callback": PulseNotifier(Moment.TASK_FAILED)}


def dag_alarms(*, start_within: timedelta | None = None, end_within: timedelta | None = None) -> dict[str, Any]:
    """For DAG(…): a run that fails, one that succeeds again, and one that does not start or end in time.

    Both times count from when the run was queued. The scheduler looks at them, so a dead one is told of by others: the
    streamer's pager and the dead man's switch.
    """
    limits = {Moment.NOT_STARTED: start_within, Moment.NOT_ENDED: end_within}
    return {
        "on_failure_callback": PulseNotifier(Moment.RUN_FAILED),
        "on_success_callback": PulseNotifier(Moment.RUN_SUCCEEDED),
        "deadline": [_deadline(moment, limit) for moment, limit in limits.items() if limit is not None] or None,
    }


def _deadline(moment: Moment, limit: timedelta) -> DeadlineAlert:
    return DeadlineAlert(
        reference=RunQueued(),
        interval=limit + _NO_WHOLE_SECONDS,
        callback=AsyncCallback(PulseNotifier, kwargs={"moment": moment.value}),
        name=moment.value,
    )
