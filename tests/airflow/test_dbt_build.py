"""The task in which dbt works. dbt itself is made up here; tests/e2e has it real, killed and failing."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from market_pulse.dbt_build import DbtBuild, DbtFailed

MODEL = "model.p.fct_trades"


class Instance:
    """A task instance that remembers what it was told to push."""

    def __init__(self, try_number: int = 1) -> None:
        self.try_number = try_number
        self.pushed: list[tuple[str, Any]] = []

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed.append((key, dict(value)))


class Dbt:
    """In the place of dbt's runner: reports one model and ends as it was told to."""

    status, exception = "success", None
    seen: "list[tuple[list[str], dict[str, str]]]"

    def __init__(self, callbacks: list[Any]) -> None:
        self._callbacks = callbacks

    def invoke(self, arguments: list[str]) -> Any:
        type(self).seen.append((arguments, dict(os.environ)))
        node = SimpleNamespace(unique_id=MODEL, node_status=self.status)
        message = "Division by zero" if self.status == "error" else "MERGE"
        result = SimpleNamespace(status=self.status, message=message, node=node)
        if self.exception is None:
            event = SimpleNamespace(
                info=SimpleNamespace(name="NodeFinished"), data=SimpleNamespace(node_info=node, run_result=result)
            )
            for callback in self._callbacks:
                callback(event)
        good = self.exception is None and self.status == "success"
        return SimpleNamespace(success=good, exception=self.exception, result=[result])


@pytest.fixture
def dbt(monkeypatch: pytest.MonkeyPatch) -> type[Dbt]:
    """dbt's runner, for one test."""
    runner = type("Runner", (Dbt,), {"seen": []})
    monkeypatch.setattr("dbt.cli.main.dbtRunner", runner)
    return runner


@pytest.fixture
def build(tmp_path: Path) -> DbtBuild:
    """The task on a parsed project of one model."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "manifest.json").write_text('{"nodes": {}}')
    (target / "partial_parse.msgpack").write_bytes(b"parsed at start-up")
    return DbtBuild(
        task_id="dbt_build",
        project=tmp_path,
        manifest=target / "manifest.json",
        excluded_tag="maintenance",
        environment={"DBT_WINDOW_RECEIVED_FROM": "2026-07-07T00:00:00.000000Z"},
    )


def test_it_tells_what_became_of_each_model(build: DbtBuild, dbt: type[Dbt]) -> None:
    """Right from the start there is something to read, however empty."""
    instance = Instance()
    build.execute({"ti": instance})

    assert instance.pushed == [
        ("outcomes", {}),
        ("outcomes", {MODEL: {"verdict": "success", "message": "MERGE"}}),
    ]


def test_dbt_knows_the_window_and_nobody_after_it(build: DbtBuild, dbt: type[Dbt]) -> None:
    """The window is in dbt's environment, and only there."""
    build.execute({"ti": Instance()})

    ((arguments, environment),) = dbt.seen
    assert environment["DBT_WINDOW_RECEIVED_FROM"].startswith("2026-07-07")
    assert "DBT_WINDOW_RECEIVED_FROM" not in os.environ
    assert arguments[:3] == ["build", "--exclude", "tag:maintenance"]


def test_a_failure_is_tried_again_once(build: DbtBuild, dbt: type[Dbt]) -> None:
    """The warehouse may have hiccuped; a wrong statement stays wrong, and each try costs a whole build."""
    dbt.status = "error"

    with pytest.raises(DbtFailed, match=r"1 failed\nmodel.p.fct_trades: Division by zero"):
        build.execute({"ti": Instance(try_number=1)})
    with pytest.raises(AirflowFailException, match="Division by zero"):
        build.execute({"ti": Instance(try_number=2)})


def test_a_dbt_that_cannot_work_is_tried_again_like_any_task(build: DbtBuild, dbt: type[Dbt]) -> None:
    """The warehouse is away, a file cannot be read: that may pass, whatever the number of the try."""
    dbt.exception = OSError("connection refused")

    with pytest.raises(DbtFailed, match="connection refused"):
        build.execute({"ti": Instance(try_number=3)})


def test_what_was_parsed_at_start_up_is_not_parsed_again(build: DbtBuild, dbt: type[Dbt], tmp_path: Path) -> None:
    """dbt works in a folder of its own, which has the newest of what is known about the project."""
    build.execute({"ti": Instance()})
    (arguments, _) = dbt.seen[-1]
    target = Path(arguments[arguments.index("--target-path") + 1])
    assert target != tmp_path / "target", "Airflow reads the manifest there at any moment"
    assert (target / "partial_parse.msgpack").read_bytes() == b"parsed at start-up"

    (target / "partial_parse.msgpack").write_bytes(b"newer: of the last run")
    build.execute({"ti": Instance()})
    assert (target / "partial_parse.msgpack").read_bytes() == b"newer: of the last run"

    newest = (tmp_path / "target" / "partial_parse.msgpack").stat().st_mtime + 60
    os.utime(tmp_path / "target" / "partial_parse.msgpack", (newest, newest))
    build.execute({"ti": Instance()})
    assert (target / "partial_parse.msgpack").read_bytes() == b"parsed at start-up"
