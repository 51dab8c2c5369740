"""Ports are checked before anything starts, and a taken one is explained."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.config import Source
from stack.errors import StackError
from stack.plan import make_plan
from stack.ports import Binding, bindings_of, check_ports, free_port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def binding(port: int, variable: str = "PULSE_TOY_PORT") -> Binding:
    """A port of a toy part."""
    return Binding("toy", variable, "127.0.0.1", port)


def test_free_ports_pass() -> None:
    """Nothing to say about free ports."""
    check_ports([binding(free_port("127.0.0.1"))])


def test_a_taken_port_names_port_variable_and_holder(listener: socket.socket) -> None:
    """The message is enough to act: what is taken, by whom, and what to set."""
    port = listener.getsockname()[1]
    with pytest.raises(StackError) as caught:
        check_ports([binding(port)])
    message = str(caught.value)
    assert f"Port {port} of the toy" in message
    assert "PULSE_TOY_PORT=" in message
    if Path("/proc").is_dir():
        assert f"pid {os.getpid()} (" in message


def test_a_port_taken_on_every_interface_counts() -> None:
    """A listener on 0.0.0.0 takes the loopback port as well."""
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen()
        with pytest.raises(StackError, match="is taken"):
            check_ports([binding(listening.getsockname()[1])])


def test_a_port_given_twice_is_refused() -> None:
    """Two parts on one port is a mistake in the settings, told with both variables."""
    port = free_port("127.0.0.1")
    with pytest.raises(StackError, match="PULSE_OTHER_PORT and PULSE_TOY_PORT"):
        check_ports([binding(port), binding(port, "PULSE_OTHER_PORT")])


def test_all_problems_are_told_at_once(listener: socket.socket) -> None:
    """Nobody wants to find taken ports one by one."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StackError) as caught:
            check_ports([binding(listener.getsockname()[1]), binding(other.getsockname()[1], "PULSE_OTHER_PORT")])
    assert "PULSE_TOY_PORT" in str(caught.value)
    assert "PULSE_OTHER_PORT" in str(caught.value)


def test_only_ports_of_parts_that_start_are_checked() -> None:
    """A live stack with a warehouse elsewhere binds the streamer's and Airflow's ports only."""
    plan = make_plan(Source.LIVE, {"PULSE_WAREHOUSE_URL": "http://elsewhere:1"}, Path("/repository"))
    assert {each.variable for each in bindings_of(plan)} == {"PULSE_AIRFLOW_PORT", "PULSE_STREAMER_PORT"}


def test_a_simulated_stack_checks_every_port() -> None:
    """Feed, control, warehouse and storage API are among them."""
    plan = make_plan(Source.SIMULATED, {}, Path("/repository"))
    assert {each.variable for each in bindings_of(plan)} == {
        "PULSE_AIRFLOW_PORT",
        "PULSE_STREAMER_PORT",
        "PULSE_WAREHOUSE_PORT",
        "PULSE_WAREHOUSE_GRPC_PORT",
        "PULSE_SIMULATOR_WS_PORT",
        "PULSE_SIMULATOR_REST_PORT",
    }
