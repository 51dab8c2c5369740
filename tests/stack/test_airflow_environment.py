"""Airflow's configuration and the secrets it shares."""

import sqlite3

from include.config import StackConfig
from stack import credentials
from stack.airflow_environment import airflow_environment, database_path, enable_write_ahead_log, ui_url
from stack.environment import parts_environment
from stack.installation import Installation
from tests.stack.support import plan_on_ports

CONFIG = StackConfig(airflow_port=7003)


def test_secrets_are_made_once_and_kept(installation: Installation) -> None:
    """A restart must not end logins and running tasks, nor make stored connections unreadable."""
    first = airflow_environment(installation, CONFIG, {})
    assert airflow_environment(installation, CONFIG, {}) == first
    keys = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
    assert len({first[key] for key in keys}) == 3
    assert all(len(first[key]) >= 43 for key in keys)


def test_two_homes_have_different_secrets(installation: Installation) -> None:
    """Nothing is built in."""
    other = Installation(home=installation.home / "other")
    other.create_folders()
    assert credentials.keys(installation.airflow_home) != credentials.keys(other.airflow_home)
    assert credentials.password(installation.airflow_home) != credentials.password(other.airflow_home)


def test_secrets_are_private(installation: Installation) -> None:
    """Readable by their owner only, from the first byte on."""
    airflow_environment(installation, CONFIG, {})
    files = [credentials.password_path(installation.airflow_home), installation.airflow_home / "secrets.json"]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]
    assert {path.name for path in installation.airflow_home.iterdir()} == {"passwords.json", "secrets.json"}


def test_an_edited_password_is_used(installation: Installation) -> None:
    """The file is the owner of the password."""
    credentials.password_path(installation.airflow_home).write_text('{"admin": "mine"}')
    assert credentials.password(installation.airflow_home) == "mine"


def test_the_user_may_tune_but_not_move_airflow(installation: Installation) -> None:
    """The user's tuning wins; where the DAGs and the database are is the stack's."""
    mine = {"AIRFLOW__CORE__PARALLELISM": "3", "AIRFLOW__CORE__DAGS_FOLDER": "/elsewhere", "AIRFLOW_HOME": "/elsewhere"}
    environment = airflow_environment(installation, CONFIG, mine)
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "3"
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(installation.repository / "dags")
    assert environment["AIRFLOW_HOME"] == str(installation.airflow_home)


def test_the_port_is_in_every_address(installation: Installation) -> None:
    """Tasks, browser and server agree on where the API is."""
    environment = airflow_environment(installation, CONFIG, {})
    assert environment["AIRFLOW__API__PORT"] == "7003"
    assert environment["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:7003"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:7003/execution/"


def test_a_wildcard_host_is_reached_over_loopback() -> None:
    """0.0.0.0 is an address to listen on, not to call."""
    assert ui_url(StackConfig(airflow_host="0.0.0.0")) == "http://127.0.0.1:8080"


def test_the_metadata_database_uses_a_write_ahead_log(installation: Installation) -> None:
    """Every later connection finds the mode in the file."""
    enable_write_ahead_log(installation.airflow_home)
    connection = sqlite3.connect(database_path(installation.airflow_home))
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


def test_parts_see_the_plan_and_not_the_users_python(installation: Installation) -> None:
    """PULSE_ variables come from the plan alone, no other Python leaks in, and loopback needs no proxy."""
    environ = {
        "PATH": "/usr/bin",
        "PYTHONPATH": "/elsewhere",
        "VIRTUAL_ENV": "/elsewhere",
        "PULSE_PRODUCTS": "XXX-USD",
        "NO_PROXY": "intranet",
        "USER_SETTING": "kept",
    }
    plan = plan_on_ports()
    environment = parts_environment(installation, plan, environ)
    assert {name: value for name, value in environment.items() if name.startswith("PULSE_")} == plan.settings
    assert environment["PYTHONPATH"] == str(installation.repository)
    assert "VIRTUAL_ENV" not in environment
    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost,::1"
    assert environment["USER_SETTING"] == "kept"
    assert environment["DBT_PULSE_MARTS_DATASET"] == "pulse_sim_marts"
