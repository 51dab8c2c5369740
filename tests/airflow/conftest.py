"""Tests of the DAG repository inside the Airflow environment, with a manifest parsed by the real dbt."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# Airflow reads these when it is first imported.
_AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-home-")
os.environ |= {
    "AIRFLOW_HOME": _AIRFLOW_HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__COSMOS__CACHE_DIR": f"{_AIRFLOW_HOME}/cosmos",
    "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
}

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's manifest, written by `dbt parse` as `make up` does."""
    from include.config import WarehouseConfig, load
    from include.warehouse.dbt_environment import dbt_environment

    target = tmp_path_factory.mktemp("dbt") / "target"
    project = REPO / "include" / "dbt"
    environment = {
        **os.environ,
        **dbt_environment(load(WarehouseConfig, {})),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
    }
    subprocess.run(
        [
            str(Path(sys.executable).parent / "dbt"),
            "parse",
            "--project-dir",
            str(project),
            "--profiles-dir",
            str(project),
        ],
        check=True,
        env=environment,
        cwd=REPO,
        stdout=subprocess.DEVNULL,
    )
    return target / "manifest.json"


@pytest.fixture
def dag_environment(manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings a DAG file needs to be parsed."""
    monkeypatch.setenv("PULSE_DBT_MANIFEST", str(manifest))
    monkeypatch.setenv("PULSE_HOME", str(tmp_path))
