"""docker-compose.yaml and the images, as far as their text says it; tests/compose runs them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.config import ALL_CONFIGS, load, variables
from stack.containers import layout

REPO = Path(__file__).resolve().parents[2]
TEXT = (REPO / "docker-compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"preflight", "airflow-init"}

#: Settings that say nothing in a container, and why.
NOT_IN_CONTAINERS = {
    "PULSE_SPOOL_DIR": "a volume",
    "PULSE_ALERTS_DIR": "a volume",
    "PULSE_DBT_MANIFEST": "a volume",
    "PULSE_SIMULATOR_DIR": "a volume",
    "PULSE_WAREHOUSE_DIR": "a volume",
    "PULSE_REPLAY_FILE": "make run SOURCE=replay",
    "PULSE_REPLAY_SPEED": "make run SOURCE=replay",
    "PULSE_LIVE_PROBE_SECONDS": "make run SOURCE=auto",
}


def test_every_setting_reaches_the_containers() -> None:
    """Each variable is handed on, set, or used for a published port: none is silently ignored."""
    known = set().union(*(variables(config) for config in ALL_CONFIGS))
    published = set(re.findall(r"\$\{(PULSE_\w+_(?:HOST|PORT)):-", TEXT))
    reached = set(COMPOSE["x-settings"]) | published
    missing = sorted(known - reached - set(NOT_IN_CONTAINERS))
    assert not missing, "add to x-settings in docker-compose.yaml:\n" + "\n".join(f"  {name}:" for name in missing)


def test_no_setting_is_handed_on_that_does_not_exist() -> None:
    """A program refuses a PULSE_ variable it does not know."""
    load(ALL_CONFIGS[0], {name: "" for name in COMPOSE["x-settings"]})


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_rights_but_an_ordinary_users(name: str) -> None:
    """Read-only root, no capability, no new privileges, bounded memory, processes and logs, nothing of the host."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"}.isdisjoint(service)
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["driver"] == "json-file"
    assert service["logging"]["options"]["max-size"]
    named = {volume.split(":")[0] for volume in service["volumes"]}
    assert named <= set(COMPOSE["volumes"]), "only named volumes: no folder of the host, no socket"


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))
def test_a_service_that_stays_is_checked_and_comes_back(name: str) -> None:
    """A health check, and a restart after a crash and a reboot."""
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "ports" in service])
def test_a_port_is_published_on_loopback_and_can_be_moved(name: str) -> None:
    """Who wants it open to others says so."""
    for port in SERVICES[name]["ports"]:
        assert re.fullmatch(r"\$\{PULSE_\w+_HOST:-127\.0\.0\.1\}:\$\{PULSE_\w+_PORT:-\d+\}:\d+", port)


def test_no_password_is_written_down() -> None:
    """Secrets are made at the first start: no variable of a service or an image holds one."""
    # Without a value: what the user has in a variable of his own, handed on.
    settings = [item for service in SERVICES.values() for item in service["environment"].items()]
    names = {name for name, value in settings if value is not None}
    for dockerfile in (REPO / "docker").glob("*/Dockerfile"):
        names |= set(re.findall(r"(\w+)=", "".join(re.findall(r"^(?:ENV|ARG) .*$", dockerfile.read_text(), re.M))))
    assert names
    assert not [name for name in names if re.search("PASSWORD|SECRET|FERNET|TOKEN|SQL_ALCHEMY_CONN", name)]


@pytest.mark.parametrize("image", ["airflow", "app", "warehouse"])
def test_the_volumes_folders_are_in_the_image_with_an_owner(image: str) -> None:
    """A named volume takes owner and mode from the image: a folder that is missing there would belong to root."""
    made = (REPO / "docker" / image / "Dockerfile").read_text("utf-8").split("compileall")[0]
    for service in SERVICES.values():
        if not service["image"].startswith(f"market-pulse-{image}:"):
            continue
        for volume in service["volumes"]:
            assert re.search(rf"{re.escape(volume.split(':')[1])}(\s|$)", made), volume


def test_the_layout_is_the_files() -> None:
    """Paths that Python and Compose both name are the same."""
    targets = {volume.split(":")[1] for service in SERVICES.values() for volume in service["volumes"]}
    assert {str(layout.SECRETS), str(layout.POSTGRES_SECRETS), str(layout.LOGS)} <= targets
    assert COMPOSE["x-settings"]["PULSE_HOME"] == str(layout.HOME)
    assert str(layout.POSTGRES_PASSWORD) in SERVICES["postgres"]["entrypoint"][2]
    assert SERVICES["preflight"]["group_add"] == [str(layout.POSTGRES_GROUP)]
    assert SERVICES["postgres"]["environment"] == {
        "POSTGRES_USER": layout.DATABASE_USER,
        "POSTGRES_DB": layout.DATABASE_NAME,
    }


@pytest.mark.parametrize("environment", ["app", "warehouse"])
def test_the_images_install_what_is_locked(environment: str) -> None:
    """docker/*/requirements.txt is what uv.lock says."""
    exported = subprocess.run(
        ["scripts/export-requirements", environment], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    assert exported == (REPO / "docker" / environment / "requirements.txt").read_text("utf-8")
