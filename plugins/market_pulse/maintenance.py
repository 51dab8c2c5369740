"""The tasks of market_pulse_maintenance. As in `tasks`, imports are inside the tasks."""

# mypy: disallow-untyped-decorators=False

import logging
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from airflow.sdk import task

from include.config import PipelineConfig, WarehouseConfig, load

#: Airflow points these at nothing for the processes of tasks. Without them the database is the one that
#: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD, airflow.cfg or Airflow's default name.
_BLOCKED = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
_DAY_SECONDS = 24 * 60 * 60

log = logging.getLogger(__name__)


@task
def apply_retention() -> dict[str, Any]:
    """Delete what the archive's limits exclude; nothing unless they are set."""
    from include.pipeline.retention import apply_retention as step
    from market_pulse.tasks import _report, _spool, _warehouse

    spool, config = _spool()
    return _report(step(spool, _warehouse(), config))


@task
def check_consistency() -> dict[str, Any]:
    """Compare spool, archive, ledger and raw. Repairs nothing; fails for good on what needs a person."""
    from airflow.sdk.exceptions import AirflowFailException

    from include.pipeline.fsck import check
    from market_pulse.tasks import _report, _spool, _warehouse

    spool, config = _spool()
    report = check(spool, _warehouse(), config)
    outcome = _report(report.to_dict())
    for finding in report.left:
        log.warning("%s %s: %s. %s", finding.kind, finding.subject, finding.message, finding.advice)
    if report.for_a_person:
        raise AirflowFailException(f"{len(report.for_a_person)} findings need a person: see above, docs/operations.md")
    return outcome


def check_marts() -> Any:
    """The dbt tests that read whole tables, which the runs of market_pulse leave out."""
    from cosmos.operators.local import DbtTestLocalOperator

    from market_pulse.transform import MAINTENANCE_TAG

    return DbtTestLocalOperator(task_id="check_marts", select=[f"tag:{MAINTENANCE_TAG}"], **_dbt_arguments())


def write_catalog() -> Any:
    """Columns and sizes of what is in the warehouse, for dbt's documentation site (`market_pulse.dbt_docs`)."""
    from cosmos.operators.local import DbtDocsLocalOperator

    return DbtDocsLocalOperator(
        task_id="write_catalog", dbt_cmd_flags=["--no-compile"], callback=keep_catalog, **_dbt_arguments()
    )


def keep_catalog(project: str, **_: Any) -> None:
    """Put the catalog that dbt wrote into a temporary project where the site finds it."""
    destination = catalog_path()
    unfinished = destination.with_name(f".{destination.name}.{os.getpid()}")
    shutil.copyfile(Path(project) / "target" / "catalog.json", unfinished)
    unfinished.replace(destination)


def catalog_path() -> Path:
    """Where the catalog is, when there is one: beside the manifest."""
    return load(PipelineConfig).resolved_dbt_manifest().with_name("catalog.json")


def _dbt_arguments() -> dict[str, Any]:
    from include.warehouse.dbt_environment import dbt_environment
    from market_pulse.transform import DBT_PROJECT, dbt_profile

    environment = dbt_environment(load(WarehouseConfig))
    return {
        "project_dir": DBT_PROJECT,
        "profile_config": dbt_profile(environment),
        "env": environment,
        "append_env": True,
        "install_deps": False,
    }


@task
def clean_metadata() -> None:
    """Delete old rows of Airflow's own database (PULSE_AIRFLOW_RETENTION_DAYS)."""
    subprocess.run(clean_command(load(PipelineConfig).airflow_retention_days), check=True, env=unblocked(os.environ))


def clean_command(days: int) -> list[str]:
    """`airflow db clean` of what is older than so many days."""
    before = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * _DAY_SECONDS))
    return ["airflow", "db", "clean", "--clean-before-timestamp", before, "--skip-archive", "--yes"]


def unblocked(environ: Any) -> dict[str, str]:
    """The environment in which Airflow's own commands find their database."""
    return {name: value for name, value in environ.items() if name not in _BLOCKED}


@task
def delete_logs() -> dict[str, Any]:
    """Delete the logs of tasks and DAG files that are older than PULSE_AIRFLOW_RETENTION_DAYS."""
    from airflow.sdk.configuration import conf

    from market_pulse.tasks import _report

    folder = Path(conf.get("logging", "base_log_folder"))
    return _report({"deleted": delete_old_files(folder, load(PipelineConfig).airflow_retention_days)})


def delete_old_files(folder: Path, days: int) -> int:
    """Delete the files below a folder that nobody wrote to for so many days, and the folders that are empty then."""
    limit = time.time() - days * _DAY_SECONDS
    deleted = 0
    for parent, _, names in folder.walk(top_down=False):
        for path in (parent / name for name in names):
            if path.lstat().st_mtime < limit:
                path.unlink(missing_ok=True)
                deleted += 1
        if parent != folder and parent.lstat().st_mtime < limit and not any(parent.iterdir()):
            parent.rmdir()
    return deleted
