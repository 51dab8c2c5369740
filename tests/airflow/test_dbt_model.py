"""The task of a model follows the one build of the run. Only what Airflow knows about the build is made up."""

import asyncio
from typing import Any

import pytest

from market_pulse import dbt_model
from market_pulse.dbt_model import BuildProgress, ModelTrigger

BUILT = {"verdict": "success", "message": "MERGE (12 rows)"}
FAILED = {"verdict": "failed", "message": "Division by zero"}
SKIPPED = {"verdict": "skipped", "message": "something it needs failed"}

#: Of the build: its state, and what it has told about the model.
Look = tuple[str | None, dict[str, str] | None]

MODEL = "model.p.fct_trades"


class Instance:
    """The part of a task that a trigger reads."""

    dag_id, run_id, task_id = "market_pulse", "manual", "dbt.models.marts.fct_trades"


def trigger_of(model: str) -> ModelTrigger:
    trigger = ModelTrigger(model, "dbt.dbt_build")
    trigger._task_instance = Instance()
    return trigger


def end(monkeypatch: pytest.MonkeyPatch, *looks: Look) -> str:
    """State in which the trigger ends its task when it sees these, one after the other, and not one more."""
    states = iter([state for state, _ in looks])
    told = iter([told for state, told in looks if state in {"running", "up_for_retry", "success", "failed"}])
    monkeypatch.setattr(BuildProgress, "_state", lambda _: next(states))
    monkeypatch.setattr(BuildProgress, "_outcomes", lambda _: {} if (known := next(told)) is None else {MODEL: known})
    monkeypatch.setattr(dbt_model, "_RUNNING_SECONDS", 0)
    monkeypatch.setattr(dbt_model, "_OVER_SECONDS", 0)

    (event,) = asyncio.run(events(trigger_of(MODEL)))
    assert next(states, None) is None, "ended before it saw everything"
    return str(event.task_instance_state)


async def events(trigger: ModelTrigger) -> list[Any]:
    return [event async for event in trigger.run()]


def test_it_is_green_as_soon_as_the_model_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only when the whole build is over."""
    assert end(monkeypatch, (None, None), ("queued", None), ("running", None), ("running", BUILT)) == "success"


def test_a_failure_counts_when_the_build_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the build may be tried again, the model may still come out well."""
    again = [("running", FAILED), ("up_for_retry", FAILED), ("running", None)]
    assert end(monkeypatch, *again, ("running", BUILT)) == "success"
    assert end(monkeypatch, *again, ("failed", FAILED)) == "failed"


def test_a_killed_build_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It told nothing, and its next try does."""
    looks: list[Look] = [("running", None), ("up_for_retry", None), ("scheduled", None), ("running", BUILT)]
    assert end(monkeypatch, *looks) == "success"


@pytest.mark.parametrize("state", ["failed", "upstream_failed", "removed"])
def test_a_build_that_told_nothing_leaves_its_models_red(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """A model is never green that nobody built."""
    assert end(monkeypatch, (state, None)) == "failed"


def test_what_dbt_skipped_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow skips green what depends on a skipped task; this model is not built."""
    assert end(monkeypatch, ("failed", SKIPPED)) == "failed"


def test_what_an_earlier_try_told_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleared run is built again; before that begins, the results of the time before are still there."""
    assert end(monkeypatch, ("scheduled", BUILT), ("queued", BUILT), ("failed", FAILED)) == "failed"


def test_all_models_of_a_run_share_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty tasks that wait ask Airflow no more often than one."""
    looks = iter([("running", {}), ("running", {"a": BUILT, "b": BUILT}), ("success", {"c": BUILT})])
    seen: list[Any] = []
    monkeypatch.setattr(BuildProgress, "_state", lambda _: seen.append(next(looks)) or seen[-1][0])
    monkeypatch.setattr(BuildProgress, "_outcomes", lambda _: seen[-1][1])
    monkeypatch.setattr(dbt_model, "_RUNNING_SECONDS", 0.05)

    async def all_events() -> list[Any]:
        return await asyncio.gather(*(events(trigger_of(model)) for model in ("a", "b", "c")))

    ends = [str(event.task_instance_state) for (event,) in asyncio.run(all_events())]

    assert ends == ["success"] * 3
    assert len(seen) == 3


def test_an_answer_that_does_not_come_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hiccup of Airflow's database makes no model red."""
    looks = iter([OSError("database is locked"), "success"])

    def state(_: BuildProgress) -> str:
        look = next(looks)
        if isinstance(look, OSError):
            raise look
        return look

    monkeypatch.setattr(BuildProgress, "_state", state)
    monkeypatch.setattr(BuildProgress, "_outcomes", lambda _: {MODEL: BUILT})
    monkeypatch.setattr(dbt_model, "_RUNNING_SECONDS", 0)

    (event,) = asyncio.run(events(trigger_of(MODEL)))
    assert str(event.task_instance_state) == "success"


def test_airflow_can_make_the_same_trigger_from_what_it_stores() -> None:
    """The triggerer builds it from its class path and arguments."""
    path, arguments = ModelTrigger("model.p.fct_trades", "dbt.dbt_build").serialize()

    assert path == "market_pulse.dbt_model.ModelTrigger"
    again = ModelTrigger(**arguments)
    assert (again.unique_id, again.build_task_id) == ("model.p.fct_trades", "dbt.dbt_build")
