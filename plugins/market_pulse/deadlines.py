"""From when the time that a run may take counts.

Airflow 3.3's own DAGRUN_QUEUED_AT counts from the same instant, and breaks what a person does to a failed run: whoever
clears a task of a run with such a deadline ahead gets an error 500 (`_recalculate_dagrun_queued_at_deadlines` takes the
stored interval for a number), and so does a run that another DAG resets. A reference that Airflow does not know is left
alone. Remove this when Airflow clears such runs; `tests/e2e/test_replay.py` clears one.
"""

from datetime import datetime
from typing import Any, ClassVar

from airflow.sdk.definitions.deadline import BaseDeadlineReference


class RunQueued(BaseDeadlineReference):  # type: ignore[misc] # Airflow is not in the environment of the type check
    """When the run was queued. Clearing a task later does not move the deadline."""

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        """In the scheduler, when it makes a run."""
        from airflow.models import DagRun
        from sqlalchemy import select

        queued: datetime | None = session.scalar(
            select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        )
        return queued
