"""The warehouse as a process: settings, claims, health, stop, restart."""

import signal
import subprocess
import urllib.request
from typing import Any

import pytest


def _refusal(warehouse: Any, **settings: str) -> str:
    """What a second process says that is started beside a running one, with some settings of its own."""
    environment = warehouse.environment | settings
    ended = subprocess.run(
        [warehouse.python, "-m", "emulator"],
        cwd=warehouse.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2, ended
    return ended.stderr


def test_health(warehouse: Any) -> None:
    """GET /healthz answers 200 as soon as the warehouse serves."""
    with urllib.request.urlopen(warehouse.url("healthz"), timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("port", ["PORT", "GRPC_PORT"])
def test_taken_port(warehouse: Any, tmp_path: Any, port: str) -> None:
    """A taken port ends the start with exit code 2 and the names of the port and of its setting."""
    free = {"PORT": "PULSE_WAREHOUSE_GRPC_PORT", "GRPC_PORT": "PULSE_WAREHOUSE_PORT"}[port]
    other = warehouse.unused_port()
    refusal = _refusal(warehouse, PULSE_WAREHOUSE_DIR=str(tmp_path), **{free: str(other)})

    assert f"PULSE_WAREHOUSE_{port}" in refusal
    assert str(warehouse.port if port == "PORT" else warehouse.grpc_port) in refusal


def test_taken_folder(warehouse: Any) -> None:
    """A second process over the same data folder is refused by name, whatever its ports."""
    ports = {f"PULSE_WAREHOUSE_{kind}": str(warehouse.unused_port()) for kind in ("PORT", "GRPC_PORT")}

    assert f"{warehouse.folder} is in use" in _refusal(warehouse, **ports)


def test_unknown_setting(warehouse: Any) -> None:
    """A misspelt setting is refused by name."""
    assert "PULSE_WAREHOUSE_PROT" in _refusal(warehouse, PULSE_WAREHOUSE_PROT="1")


def test_help(warehouse: Any) -> None:
    """--help names the settings and the health endpoint."""
    shown = subprocess.run(
        [warehouse.python, "-m", "emulator", "--help"], cwd=warehouse.root, capture_output=True, text=True, check=True
    ).stdout
    assert {"PULSE_WAREHOUSE_PORT", "PULSE_WAREHOUSE_DIR", "/healthz"} <= set(shown.split())


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_stop(own_warehouse: Any, stop: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the process with 0, after the running job."""
    own_warehouse.start()
    own_warehouse.client.create_dataset("d")
    job = own_warehouse.client.query("create table d.t as select count(*) n from unnest(generate_array(1, 10000000)) a")
    assert own_warehouse.stop(stop) == 0
    own_warehouse.start()

    assert own_warehouse.client.get_job(job.job_id).error_result is None
    assert own_warehouse.rows("select n from d.t") == [(10_000_000,)]


def test_restart(own_warehouse: Any) -> None:
    """Data outlive a stop, a kill -9, and a move of the folder."""
    own_warehouse.start()
    own_warehouse.client.create_dataset("d")
    own_warehouse.rows("create table d.t as select 1 a")
    own_warehouse.stop()

    own_warehouse.start()
    own_warehouse.rows("insert into d.t values (2)")
    own_warehouse.kill()
    own_warehouse.folder = own_warehouse.folder.rename(own_warehouse.folder.with_name("moved"))
    own_warehouse.start()

    assert own_warehouse.rows("select a from d.t order by a") == [(1,), (2,)]
