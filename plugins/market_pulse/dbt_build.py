"""The one task of a run in which dbt works."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from market_pulse.outcomes import OUTCOMES, Outcome, Outcomes, models_of_tests

#: What dbt remembers of a parsed project, in its target folder.
_PARSED = "partial_parse.msgpack"


class DbtFailed(Exception):
    """dbt could not work, or something that it built or tested failed. The text has dbt's own messages."""


class DbtBuild(BaseOperator):  # type: ignore[misc] # Airflow is not in the environment of the type check
    """`dbt build` in this process: models and tests, but for those of a tag.

    What became of each model is told meanwhile, in the XCom `OUTCOMES`. A retry builds everything again, which is safe:
    models merge on keys. When models or tests fail, one retry is all: the warehouse may have hiccuped, but an error in
    a statement stays.
    """

    ui_color = "#fa8c66"
    template_fields = ("environment",)

    def __init__(
        self, *, project: Path, manifest: Path, excluded_tag: str, environment: Mapping[str, str], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.manifest = manifest
        self.excluded_tag = excluded_tag
        self.environment = dict(environment)

    def execute(self, context: Any) -> None:
        """Run dbt. Raises DbtFailed, or AirflowFailException when models or tests failed again."""
        from dbt.cli.main import dbtRunner

        instance = context["ti"]
        told: dict[str, Any] = {}

        def tell(model: str, outcome: Outcome) -> None:
            told[model] = msgspec.to_builtins(outcome)
            instance.xcom_push(key=OUTCOMES, value=told)

        instance.xcom_push(key=OUTCOMES, value=told)  # who asks before the first outcome finds something
        outcomes = Outcomes(models_of_tests(self.manifest, self.excluded_tag), tell)
        with _environment(self.environment):
            result = dbtRunner(callbacks=[outcomes.receive]).invoke(self.command(self._target()))
        outcomes.close()
        if result.exception:
            raise DbtFailed(str(result.exception)) from result.exception
        if not result.success:
            error = DbtFailed(failures(result.result))
            raise AirflowFailException(str(error)) if instance.try_number > 1 else error

    def command(self, target: Path) -> list[str]:
        """dbt's arguments. No file is written that nobody reads: the log is the task's."""
        project = str(self.project)
        return [
            *("build", "--exclude", f"tag:{self.excluded_tag}", "--project-dir", project, "--profiles-dir", project),
            # The project may be read-only; dbt makes its log's folder even for no log.
            *("--target-path", str(target), "--log-path", str(target / "logs"), "--log-level-file", "none"),
            *("--no-write-json", "--no-use-colors"),
        ]

    def _target(self) -> Path:
        """A folder for what dbt writes, with what `dbt parse` has left beside the manifest: so nothing is parsed twice.

        It is not the manifest's own folder, where Airflow reads while dbt would write.
        """
        target = self.manifest.parent.with_name("build")
        target.mkdir(parents=True, exist_ok=True)
        parsed, known = self.manifest.with_name(_PARSED), target / _PARSED
        if parsed.is_file() and not (known.is_file() and known.stat().st_mtime >= parsed.stat().st_mtime):
            unfinished = target / f".{_PARSED}.{os.getpid()}"
            shutil.copy2(parsed, unfinished)
            unfinished.replace(known)
        return target


def failures(results: Any) -> str:
    """dbt's messages of what failed."""
    failed = [result for result in results if result.status in {"error", "fail", "runtime error"}]
    return "\n".join([f"{len(failed)} failed", *(f"{result.node.unique_id}: {result.message}" for result in failed)])


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """dbt reads its settings from this process's environment."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
