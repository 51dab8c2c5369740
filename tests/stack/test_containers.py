"""What containers do before and beside their programs."""

import base64
import json
import stat
from pathlib import Path

import pytest

from include.config import ConfigError
from stack import credentials
from stack.airflow_environment import ALWAYS, tuning
from stack.containers import layout, secrets
from stack.containers.airflow_config import airflow_config
from stack.containers.preflight import check

LOCAL = {"PULSE_SOURCE": "live", "PULSE_WAREHOUSE_URL": "http://warehouse:9050"}
BIGQUERY = {"PULSE_SOURCE": "live", "PULSE_WAREHOUSE_URL": "", "PULSE_PROJECT": "my-project"}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A file of Google credentials."""
    path = tmp_path / "key.json"
    path.write_text('{"type": "service_account"}')
    return path


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty volumes for the secrets."""
    for name in ("FERNET_KEY", "JWT_SECRET", "API_SECRET", "DATABASE_URL", "POSTGRES_PASSWORD"):
        monkeypatch.setattr(layout, name, tmp_path / getattr(layout, name).name)
    monkeypatch.setattr(layout, "SECRETS", tmp_path)
    monkeypatch.setattr(layout, "POSTGRES_GROUP", tmp_path.stat().st_gid)
    return tmp_path


def test_without_any_setting_the_start_is_allowed(tmp_path: Path) -> None:
    """The defaults need no account; where no key was given, Compose mounts an empty file."""
    (tmp_path / "empty").touch()
    check(LOCAL, tmp_path / "empty")
    check(LOCAL, tmp_path / "missing")


def test_bigquery_is_allowed_with_a_key_and_without(key: Path, tmp_path: Path) -> None:
    """Without one the machine's own identity is used."""
    check(BIGQUERY, key)
    check(BIGQUERY, tmp_path / "missing")


def test_a_key_that_would_not_be_used_is_refused(key: Path) -> None:
    """Who gives a key means BigQuery; the message says what to set."""
    with pytest.raises(ConfigError, match="export PULSE_WAREHOUSE_URL= "):
        check(LOCAL, key)


def test_bigquery_without_a_project_is_refused(key: Path) -> None:
    """The default project exists in the local warehouse only."""
    with pytest.raises(ConfigError, match="export PULSE_PROJECT="):
        check({**BIGQUERY, "PULSE_PROJECT": ""}, key)


@pytest.mark.parametrize("content", ["no json", "[]", "{}"])
def test_a_file_that_is_no_key_is_refused(key: Path, content: str) -> None:
    """At the start, not in the first load."""
    key.write_text(content)
    with pytest.raises(ConfigError, match="not a Google credentials file"):
        check(BIGQUERY, key)


def test_a_source_that_the_profile_contradicts_is_refused(tmp_path: Path) -> None:
    """Otherwise somebody who asked for made-up data would get live data, or the reverse."""
    with pytest.raises(ConfigError, match="export COMPOSE_PROFILES=simulated"):
        check({**LOCAL, "WANTED_SOURCE": "simulated"}, tmp_path / "missing")
    check({**LOCAL, "WANTED_SOURCE": "live"}, tmp_path / "missing")


def test_any_setting_that_does_not_fit_is_refused_at_the_start(tmp_path: Path) -> None:
    """Of whatever program it is."""
    with pytest.raises(ConfigError, match="PULSE_SEAL_PROCESSES='many'"):
        check({**LOCAL, "PULSE_SEAL_PROCESSES": "many"}, tmp_path / "missing")


def test_secrets_are_made_once_and_kept(volumes: Path) -> None:
    """A second start changes nothing: logins, running tasks and stored connections live on."""
    made = secrets.create_secrets()
    first = {path: path.read_bytes() for path in volumes.iterdir()}

    assert set(made) == set(first)
    assert secrets.create_secrets() == []
    assert {path: path.read_bytes() for path in volumes.iterdir()} == first


def test_secrets_are_private_and_fit_together(volumes: Path) -> None:
    """Only the database's password is readable by a group, which is the database's."""
    secrets.create_secrets()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in volumes.iterdir()}
    assert modes.pop("password") == 0o640
    assert set(modes.values()) == {0o600}
    password = layout.POSTGRES_PASSWORD.read_text()
    assert layout.DATABASE_URL.read_text() == f"postgresql+psycopg2://airflow:{password}@postgres/airflow"
    assert len(base64.urlsafe_b64decode(layout.FERNET_KEY.read_text())) == 32
    assert json.loads(credentials.password_path(volumes).read_text()).keys() == {"admin"}


def test_two_installations_share_no_secret(volumes: Path, tmp_path: Path) -> None:
    """Nothing is built in."""
    secrets.create_secrets()
    first = {path.read_bytes() for path in volumes.iterdir()}
    for path in volumes.iterdir():
        path.unlink()

    secrets.create_secrets()
    assert first.isdisjoint({path.read_bytes() for path in volumes.iterdir()})


def test_airflow_is_configured_as_on_one_machine_but_for_places() -> None:
    """One owner of what both rely on; no secret is in the file, only where it is read from."""
    config = airflow_config()
    for name, value in (ALWAYS | tuning({})).items():
        _, section, option = name.lower().split("__")
        assert config.get(section, option) == value
    options = {option for section in config.sections() for option in config.options(section)}
    assert {"fernet_key", "jwt_secret", "secret_key", "sql_alchemy_conn"}.isdisjoint(options)
    assert {"fernet_key_cmd", "jwt_secret_cmd", "secret_key_cmd", "sql_alchemy_conn_cmd"} <= options
