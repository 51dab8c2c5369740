"""The process behaves: help, ports, signals, speed."""

import socket
import time

import pytest

from tests.simulator.conftest import Connect, StartSimulator
from tests.simulator.running import Simulator, command, free_ports


def test_help_lists_the_settings() -> None:
    """Every variable of the simulator is in --help."""
    ended = command("--help")
    assert ended.returncode == 0
    assert "PULSE_SIMULATOR_WS_PORT" in ended.stdout
    assert "PULSE_REPLAY_FILE" in ended.stdout


@pytest.mark.parametrize("taken", ["simulator_ws_port", "simulator_rest_port"])
def test_a_taken_port_is_named_with_its_variable(tmp_path: object, taken: str) -> None:
    """Status 2, and the message has variable and port."""
    ports = free_ports()
    with socket.create_server(("127.0.0.1", ports[taken])):
        ended = command(simulator_dir=tmp_path, **ports)
    assert ended.returncode == 2
    assert f"PULSE_{taken.upper()}={ports[taken]}" in ended.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [("simulator_rate", "fast"), ("replay_speed", "0"), ("simulator_products", "btc"), ("simulator_colour", "red")],
)
def test_a_bad_setting_is_named(tmp_path: object, setting: str, value: str) -> None:
    """Status 2, and the message has the variable."""
    extra = {"replay_file": __file__} if setting == "replay_speed" else {}
    ended = command(simulator_dir=tmp_path, **{setting: value}, **extra, **free_ports())
    assert ended.returncode == 2
    assert f"PULSE_{setting.upper()}" in ended.stderr


@pytest.mark.parametrize("stalled", [False, True])
async def test_sigterm_ends_it_within_two_seconds(simulator: Simulator, connect_to: Connect, stalled: bool) -> None:
    """In order, with clients connected, also with one that looks half-open."""
    client = await connect_to(simulator)
    await client.subscribe("BTC-USD")
    await client.until_type("heartbeat")
    if stalled:
        await simulator.inject("stall", answer_pings=False)
    status, seconds = simulator.process.terminate()
    assert status == 0
    assert seconds < 2


async def test_thousands_of_messages_a_second_are_no_strain(
    start_simulator: StartSimulator, connect_to: Connect
) -> None:
    """20,000 frames of 10,000 trades reach a client at more than 2,000 a second, recorded first."""
    simulator = await start_simulator()
    client = await connect_to(simulator, compression=None)
    await client.subscribe("BTC-USD", channels=("matches", "ticker"))
    await client.until_type("ticker")
    started = time.monotonic()
    ids = await simulator.burst(10_000)
    await client.until_match(ids[-1])
    assert len(client.frames) / (time.monotonic() - started) > 2_000
