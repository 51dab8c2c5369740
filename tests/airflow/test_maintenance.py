"""What the maintenance tasks do on the Airflow side."""

import os
import subprocess
import sys
import time
from pathlib import Path

from market_pulse.maintenance import clean_command, delete_old_files, unblocked

DAY_SECONDS = 24 * 60 * 60


def test_only_old_logs_are_deleted(tmp_path: Path) -> None:
    """Files by their age; folders when nothing is left in them and they are old themselves."""
    for name, days in (("old/run/1.log", 31), ("new/run/1.log", 29), ("mixed/old.log", 40), ("mixed/new.log", 1)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        at = time.time() - days * DAY_SECONDS
        os.utime(path, (at, at))

    assert delete_old_files(tmp_path, 30) == 2

    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"new/run/1.log", "mixed/new.log"}


def test_the_database_is_found_behind_airflows_block(tmp_path: Path) -> None:
    """In a task's process the address is overwritten; the command still reaches the database and ends well."""
    database = f"sqlite:///{tmp_path / 'airflow.db'}"
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": f"echo {database}",
    }
    subprocess.run([bin_folder / "airflow", "db", "migrate"], check=True, env=environment, capture_output=True)
    blocked = {**environment, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "airflow-db-not-allowed:///"}
    assert subprocess.run(clean_command(30), check=False, env=blocked, capture_output=True).returncode != 0

    subprocess.run(clean_command(30), check=True, env=unblocked(blocked), capture_output=True)
