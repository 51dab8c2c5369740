"""Airflow's configuration on one machine, as environment variables: nothing is read from a hand-edited airflow.cfg.

Two kinds: what the stack relies on, which wins over the user's environment, and tuning, which the user's own
`AIRFLOW__…` variables override.
"""

import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from include.config import StackConfig
from stack import credentials
from stack.installation import Installation

#: SQLite waits this long for another process's write lock (its default is 5 s, which four processes on a busy disk
#: exceed).
_SQLITE_TIMEOUT_SECONDS = 60


#: What the product relies on wherever its Airflow runs: here, and in containers (`stack.containers`).
ALWAYS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{credentials.ADMIN_USER}:admin",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
    "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


def airflow_environment(installation: Installation, config: StackConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of every Airflow process. Creates secrets and password at the first call."""
    return tuning(environ) | ALWAYS | _fixed(installation, config)


def ui_url(config: StackConfig) -> str:
    """Address of the UI as a browser on this machine reaches it, without a trailing slash."""
    wildcard = config.airflow_host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return f"http://{'127.0.0.1' if wildcard else config.airflow_host}:{config.airflow_port}"


def database_path(airflow_home: Path) -> Path:
    """The metadata database."""
    return airflow_home / "airflow.db"


def enable_write_ahead_log(airflow_home: Path) -> None:
    """Let readers and the one writer of the metadata database work at the same time.

    SQLite remembers it in the file.
    """
    connection = sqlite3.connect(database_path(airflow_home), timeout=_SQLITE_TIMEOUT_SECONDS)
    try:
        connection.execute("pragma journal_mode=wal")
    finally:
        connection.close()
    database_path(airflow_home).chmod(0o600)


def _fixed(installation: Installation, config: StackConfig) -> dict[str, str]:
    home = installation.airflow_home
    url = ui_url(config)
    keys = credentials.keys(home)
    credentials.password(home)
    plugins = installation.repository / "plugins"
    database = f"sqlite:///{database_path(home)}?timeout={_SQLITE_TIMEOUT_SECONDS}"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(installation.repository / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": keys.fernet_key,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(credentials.password_path(home)),
        "AIRFLOW__API__HOST": config.airflow_host,
        "AIRFLOW__API__PORT": str(config.airflow_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": keys.api_secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": keys.jwt_secret,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        # Airflow overwrites the variable above in the processes of tasks; market_pulse_maintenance reads this one.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": f"echo {shlex.quote(database)}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
        "AIRFLOW__COSMOS__CACHE_DIR": str(home / "cosmos"),
        # setproctitle would overwrite /proc/<pid>/environ, by which `leftovers` knows our processes.
        "SPT_NOENV": "1",
    }


def tuning(environ: Mapping[str, str]) -> dict[str, str]:
    """Suited to one machine with two cores and one DAG every two minutes; what `environ` has wins."""
    defaults = {
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__API__WORKERS": "1",
        # Also how long the API server waits for idle connections to close before it stops (default 120 s).
        "AIRFLOW__API__WORKER_TIMEOUT": "5",
        "AIRFLOW__API__INSTANCE_NAME": "Market Pulse",
        # DAG files change only when someone edits them: an edit is seen by its mtime, and each parse of a Cosmos DAG
        # costs a second of CPU.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "300",
        # After a kill -9 the next scheduler takes over the lost tasks within a minute instead of five.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "60",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
    return {name: environ.get(name, value) for name, value in defaults.items()}


def airflow_version(installation: Installation) -> str:
    """Version of the installed Airflow, from its metadata folder's name.

    Raises FileNotFoundError when there is none.
    """
    packages = Path(installation.executable("airflow", "python")).parents[1] / "lib"
    for folder in packages.glob("python3.*/site-packages/apache_airflow_core-*.dist-info"):
        return folder.name.removeprefix("apache_airflow_core-").removesuffix(".dist-info")
    raise FileNotFoundError(f"no Airflow in {packages}: run scripts/bootstrap run")
