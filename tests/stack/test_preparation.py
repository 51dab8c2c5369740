"""Preparations run when something changed, and only then. The programs are scripts in a repository of their own."""

import threading
from pathlib import Path

import pytest

from include.config import Source
from stack.errors import PartError
from stack.installation import Installation
from stack.plan import make_plan
from stack.preparation import UNCHANGED, migrate_airflow, parse_dbt, prepare_tables
from stack.steps import Cancelled

NEVER = threading.Event()


def write_program(installation: Installation, environment: str, name: str, body: str) -> None:
    """A shell script in the place of an installed program."""
    path = Path(installation.executable(environment, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def own(tmp_path: Path) -> Installation:
    """A repository with a dbt project of one file, and nothing installed."""
    installation = Installation(home=tmp_path / "home", repository=tmp_path / "repository")
    installation.create_folders()
    installation.dbt_project.mkdir(parents=True)
    (installation.dbt_project / "dbt_project.yml").write_text("name: toy")
    return installation


def test_dbt_is_parsed_again_only_when_its_inputs_change(own: Installation, tmp_path: Path) -> None:
    """A changed model or dataset name is a change; a log or an old target folder is not."""
    runs = tmp_path / "runs"
    # `--target-path` is dbt's seventh argument here.
    write_program(own, "airflow", "dbt", f'echo run >> {runs}; mkdir -p "$7"; echo "{{}}" > "$7/manifest.json"')
    plan = make_plan(Source.LIVE, {"PULSE_HOME": str(own.home)}, own.repository)
    assert parse_dbt(own, plan, {}, NEVER) is None
    assert (own.home / "dbt" / "target" / "manifest.json").exists()
    (own.dbt_project / "logs").mkdir()
    (own.dbt_project / "logs" / "dbt.log").write_text("noise")
    assert parse_dbt(own, plan, {}, NEVER) == UNCHANGED
    (own.dbt_project / "model.sql").write_text("select 1")
    assert parse_dbt(own, plan, {}, NEVER) is None
    simulated = make_plan(Source.SIMULATED, {"PULSE_HOME": str(own.home)}, own.repository)
    assert parse_dbt(own, simulated, {}, NEVER) is None
    assert runs.read_text().count("run") == 3


def test_a_failed_parse_is_not_remembered_as_done(own: Installation) -> None:
    """The next start tries again, although the inputs are the same."""
    plan = make_plan(Source.LIVE, {"PULSE_HOME": str(own.home)}, own.repository)
    write_program(own, "airflow", "dbt", 'mkdir -p "$7"; echo "{}" > "$7/manifest.json"; echo "syntax error"; exit 2')
    for _ in range(2):
        with pytest.raises(PartError, match="exit status 2") as caught:
            parse_dbt(own, plan, {}, NEVER)
    assert caught.value.log_path is not None
    assert "syntax error" in caught.value.log_path.read_text()


def test_airflow_is_migrated_once_per_version(own: Installation, tmp_path: Path) -> None:
    """A new version migrates again; a missing database too."""
    runs = tmp_path / "runs"
    write_program(own, "airflow", "airflow", f'echo "$@" | cut -d" " -f1-4 >> {runs}')
    packages = own.repository / ".venvs" / "airflow" / "lib" / "python3.13" / "site-packages"
    old = packages / "apache_airflow_core-3.3.2.dist-info"
    old.mkdir(parents=True)
    plan = make_plan(Source.LIVE, {"PULSE_HOME": str(own.home)}, own.repository)
    assert migrate_airflow(own, plan, {}, NEVER) is None
    assert migrate_airflow(own, plan, {}, NEVER) == UNCHANGED
    old.rename(packages / "apache_airflow_core-3.4.0.dist-info")
    assert migrate_airflow(own, plan, {}, NEVER) is None
    (own.airflow_home / "airflow.db").unlink()
    assert migrate_airflow(own, plan, {}, NEVER) is None
    assert runs.read_text().splitlines() == ["db migrate", "pools set pulse_load 2"] * 3


def test_a_changed_pool_size_reaches_airflow(own: Installation, tmp_path: Path) -> None:
    """PULSE_LOAD_POOL_SLOTS says how many batches of a backlog are loaded at once."""
    runs = tmp_path / "runs"
    write_program(own, "airflow", "airflow", f'echo "$1 $2 $3 $4" >> {runs}')
    (own.repository / ".venvs/airflow/lib/python3.13/site-packages/apache_airflow_core-3.3.2.dist-info").mkdir(
        parents=True
    )
    for slots in ("2", "5"):
        environ = {"PULSE_HOME": str(own.home), "PULSE_LOAD_POOL_SLOTS": slots}
        assert migrate_airflow(own, make_plan(Source.LIVE, environ, own.repository), {}, NEVER) is None
    assert "pools set pulse_load 5" in runs.read_text()


def test_a_cancelled_preparation_is_ended(own: Installation) -> None:
    """A failure elsewhere does not wait for a long command."""
    write_program(own, "core", "python", "sleep 600")
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        prepare_tables(own, {"PATH": "/usr/bin:/bin"}, cancelled)
