"""Settings that cannot work are refused before anything starts, and BigQuery needs no local warehouse."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.compose.harness import ComposeProject

BIGQUERY = {"PULSE_WAREHOUSE_URL": "", "PULSE_PROJECT": "my-project"}


@pytest.fixture(scope="module")
def live() -> ComposeProject:
    """Another project, of which nothing stays up; its images are built."""
    project = ComposeProject(COMPOSE_PROJECT_NAME="pulse-settings")
    project.compose("build --quiet preflight airflow-init", timeout=900)
    return project


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key file that the containers may read."""
    path = tmp_path / "key.json"
    path.write_text('{"type": "service_account", "project_id": "my-project"}')
    path.chmod(0o644)
    return path


def configuration(project: ComposeProject, **environment: str) -> dict[str, Any]:
    """What Compose makes of the file."""
    services: dict[str, Any] = json.loads(project.compose("config --format json", environment=environment).stdout)
    return services


def refusal(project: ComposeProject, **environment: str) -> str:
    """What preflight says when it refuses."""
    try:
        done = project.compose("run --rm -T preflight", check=False, environment=environment)
    finally:
        project.compose("down -v --timeout 1", check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


@pytest.mark.timeout(900)
def test_without_settings_it_is_live_data_in_the_local_warehouse(live: ComposeProject) -> None:
    """One warehouse, no fake exchange, no key."""
    services = configuration(live)["services"]
    assert services["warehouse"]["deploy"]["replicas"] == 1
    assert "simulator" not in services
    environment = services["scheduler"]["environment"]
    assert environment["PULSE_SOURCE"] == "live"
    assert environment["PULSE_FEED_URL"] == ""
    assert environment["GOOGLE_APPLICATION_CREDENTIALS"] == ""


@pytest.mark.timeout(60)
def test_on_bigquery_there_is_no_local_warehouse(live: ComposeProject, key: Path) -> None:
    """The key is mounted where the warehouse is used, and nowhere else."""
    configured = configuration(live, **BIGQUERY, GOOGLE_APPLICATION_CREDENTIALS=str(key))
    services = configured["services"]
    assert services["warehouse"]["deploy"]["replicas"] == 0
    assert configured["secrets"]["google-key"]["file"] == str(key)
    assert {name for name, service in services.items() if service.get("secrets")} == {
        "preflight",
        "airflow-init",
        "scheduler",
    }
    assert services["scheduler"]["environment"]["PULSE_WAREHOUSE_URL"] == ""
    assert services["scheduler"]["environment"]["GOOGLE_APPLICATION_CREDENTIALS"] == "/run/secrets/google-key"


@pytest.mark.timeout(600)
def test_settings_that_contradict_are_refused(live: ComposeProject, key: Path) -> None:
    """With what to do about it."""
    assert "export PULSE_WAREHOUSE_URL= " in refusal(live, GOOGLE_APPLICATION_CREDENTIALS=str(key))
    assert "export PULSE_PROJECT=" in refusal(live, PULSE_WAREHOUSE_URL="")
    assert "export COMPOSE_PROFILES=simulated" in refusal(live, PULSE_SOURCE="simulated")
    assert "PULSE_CHANNELS='Matches!'" in refusal(live, PULSE_CHANNELS="Matches!")
    key.chmod(0o600)
    assert "user id 50000" in refusal(live, **BIGQUERY, GOOGLE_APPLICATION_CREDENTIALS=str(key))


@pytest.mark.timeout(600)
def test_bigquery_without_an_identity_is_refused_with_what_is_missing(live: ComposeProject) -> None:
    """No key and no metadata server: the preparation ends at once and names both ways."""
    try:
        done = live.compose(
            "run --rm -T --no-deps airflow-init python -m include.warehouse prepare", check=False, environment=BIGQUERY
        )
    finally:
        live.compose("down -v --timeout 1", check=False)
    assert done.returncode == 1
    assert "GOOGLE_APPLICATION_CREDENTIALS" in done.stderr


@pytest.mark.timeout(300)
def test_the_fake_exchange_does_not_start_beside_a_live_streamer(live: ComposeProject) -> None:
    """The option --profile alone does not point the streamer at it."""
    try:
        done = live.compose("--profile simulated run --rm -T --no-deps simulator", check=False)
    finally:
        live.compose("--profile simulated down -v --timeout 1", check=False)
    assert done.returncode == 2
    assert "export COMPOSE_PROFILES=simulated" in done.stderr
