"""`python -m stack.containers.airflow_config` prints the image's airflow.cfg.

A file and not variables, so that `docker compose exec scheduler airflow …` sees the same as the services, and so that
`AIRFLOW__…` variables, which win over the file, are left to the user. Secrets are read by command from their volume.
"""

import configparser
import sys

from stack import credentials
from stack.airflow_environment import ALWAYS, tuning
from stack.containers import layout


def airflow_config() -> configparser.RawConfigParser:
    """Sections and options of airflow.cfg."""
    config = configparser.RawConfigParser()
    for name, value in (tuning({}) | ALWAYS | _containers()).items():
        _, section, option = name.lower().split("__")
        if not config.has_section(section):
            config.add_section(section)
        config.set(section, option, value.replace("%", "%%"))
    return config


def _containers() -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(layout.AIRFLOW_HOME / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(layout.AIRFLOW_HOME / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{layout.API_URL}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(credentials.password_path(layout.SECRETS)),
        "AIRFLOW__CORE__FERNET_KEY_CMD": f"cat {layout.FERNET_KEY}",
        # The name under which a process writes its heartbeats, as `heartbeat` looks for it.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__API__HOST": "0.0.0.0",  # noqa: S104 - inside the container; Compose publishes it on loopback
        "AIRFLOW__API__PORT": "8080",
        "AIRFLOW__API__SECRET_KEY_CMD": f"cat {layout.API_SECRET}",
        "AIRFLOW__API_AUTH__JWT_SECRET_CMD": f"cat {layout.JWT_SECRET}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": f"cat {layout.DATABASE_URL}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(layout.LOGS),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(layout.LOGS / "dag_processor"),
        "AIRFLOW__COSMOS__CACHE_DIR": str(layout.COSMOS_CACHE),
    }


if __name__ == "__main__":
    sys.stdout.write("# Written by `python -m stack.containers.airflow_config` when the image was built.\n")
    airflow_config().write(sys.stdout)
