"""Airflow's plugin loader reads this file: the scheduler finds our deadline reference by it."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from market_pulse.deadlines import RunQueued


class DeadlinesPlugin(AirflowPlugin):  # type: ignore[misc] # Airflow is not in the environment of the type check
    """Registers what `market_pulse.alarms` gives to DAGs."""

    name = "market_pulse_deadlines"
    deadline_references: ClassVar[list[Any]] = [RunQueued]
