"""The task of a dbt model: it shows in Airflow what dbt made of the model, and does nothing itself.

It never gets a process of its own: the scheduler hands it to the triggerer, where all of them wait in one process for
what `DbtBuild` tells. So they cost next to nothing, and hold no slot that dbt may need.
"""

import asyncio
import logging
import time
import weakref
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

from market_pulse.outcomes import OUTCOMES

#: Model → what `DbtBuild` tells of it (`market_pulse.outcomes.Outcome`).
type Told = dict[str, dict[str, str]]

#: Much longer than any run: a task whose triggerer is away for so long fails and lets the next run begin.
_TIMEOUT = timedelta(hours=2)
_RUNNING_SECONDS = 2.0
_OVER_SECONDS = 1.0
#: States of the build in which what it told is of this try: Airflow deletes the XComs of the one before at the start.
_TELLING = frozenset({"running", "up_for_retry", "success", "failed"})
_OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

_log = logging.getLogger(__name__)


class DbtModel(BaseOperator):  # type: ignore[misc] # Airflow is not in the environment of the type check
    """A model of the dbt project, built by another task of the run. Not retried by itself: that task is."""

    ui_color = "#fa8c66"

    def __init__(self, *, unique_id: str, build_task_id: str, **kwargs: Any) -> None:
        # It only shows what `DbtBuild` reports: one failure, one callback.
        super().__init__(**{**kwargs, "retries": 0, "on_failure_callback": None})
        self.unique_id = unique_id
        self.build_task_id = build_task_id
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{ModelTrigger.__module__}.{ModelTrigger.__qualname__}",
            trigger_kwargs=self._trigger().arguments(),
            next_method="resume",
            timeout=_TIMEOUT,
        )

    def execute(self, context: Any) -> None:  # noqa: ARG002
        """Where nothing starts in the triggerer, as in `dag.test()`."""
        self.defer(trigger=self._trigger(), method_name="resume", timeout=_TIMEOUT)

    def resume(self, context: Any, event: Any = None) -> None:
        """Never called: the trigger ends the task."""
        raise NotImplementedError(f"{self.unique_id}: unexpected event {event!r}")

    def _trigger(self) -> "ModelTrigger":
        return ModelTrigger(self.unique_id, self.build_task_id)


class ModelTrigger(BaseTrigger):  # type: ignore[misc]
    """Waits until it is known what became of a model, and ends its task accordingly."""

    def __init__(self, unique_id: str, build_task_id: str) -> None:
        super().__init__()
        self.unique_id = unique_id
        self.build_task_id = build_task_id
        self._of_build: BuildProgress | None = None

    def arguments(self) -> dict[str, str]:
        """What makes an equal trigger."""
        return {"unique_id": self.unique_id, "build_task_id": self.build_task_id}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, when the model's fate is sealed."""
        while True:
            event = await self._look()
            if event is not None:
                yield event
                return

    async def _look(self) -> TriggerEvent | None:
        state, outcomes = await self._progress().read()
        told = outcomes.get(self.unique_id)
        if told and told["verdict"] == "success":
            self.log.info("dbt: %s", told["message"])
            return TaskSuccessEvent()
        if state not in _OVER:
            return None  # also when it failed: the build may be tried again
        if told:
            self.log.error("%s %s: %s", self.unique_id, told["verdict"], told["message"])
        else:
            self.log.error("%s: %s is %s and told nothing: see its log", self.unique_id, self.build_task_id, state)
        return TaskFailedEvent()

    def _progress(self) -> "BuildProgress":
        if self._of_build is None:
            if self.task_instance is None:
                raise RuntimeError(f"{self.unique_id}: a trigger without a task")
            key = (self.task_instance.dag_id, self.task_instance.run_id, self.build_task_id)
            self._of_build = _builds.get(key) or _builds.setdefault(key, BuildProgress(*key))
        return self._of_build


class BuildProgress:
    """What one build has told, read once for all triggers of this process that follow it, at the same moments.

    The moments are some seconds apart: for every task that ends in the triggerer Airflow parses the DAG file, once for
    all that end together.
    """

    def __init__(self, dag_id: str, run_id: str, task_id: str) -> None:
        self._dag_id, self._run_id, self._task_id = dag_id, run_id, task_id
        self._known: tuple[str | None, Told] = (None, {})
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def read(self) -> "tuple[str | None, Told]":
        """The build's state and the outcomes of this try, as of the next moment."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)  # one trigger may be cancelled, the others go on
        return self._known

    async def _read(self) -> None:
        pause = _OVER_SECONDS if self._known[0] in _OVER else _RUNNING_SECONDS
        await asyncio.sleep(max(0.0, self._read_at + pause - time.monotonic()))
        try:
            # In this order: what was told before the build was over is there when it is over.
            state = await asyncio.to_thread(self._state)
            self._known = state, await asyncio.to_thread(self._outcomes) if state in _TELLING else {}
        except Exception as error:  # whatever keeps Airflow from answering once must not make thirty tasks red
            _log.warning("%s: no answer, asking again: %s", self._task_id, error)
        self._read_at = time.monotonic()

    def _state(self) -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        states = RuntimeTaskInstance.get_task_states(
            dag_id=self._dag_id, task_ids=[self._task_id], run_ids=[self._run_id]
        )
        state = states.get(self._run_id, {}).get(self._task_id)
        return None if state is None else str(state)

    def _outcomes(self) -> "Told":
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_one(key=OUTCOMES, dag_id=self._dag_id, task_id=self._task_id, run_id=self._run_id) or {}


#: A build is followed by some thirty triggers, which share its progress as long as one of them is left.
_builds: "weakref.WeakValueDictionary[tuple[str, str, str], BuildProgress]" = weakref.WeakValueDictionary()
