"""The plan: which settings a source means."""

from pathlib import Path

import pytest

from include.config import ConfigError, Source, WarehouseConfig
from stack.errors import StackError
from stack.plan import given_settings, make_plan

REPOSITORY = Path("/repository")


def test_relative_paths_are_relative_to_the_repository() -> None:
    """Programs with other working folders see the same files."""
    plan = make_plan(Source.LIVE, {"PULSE_HOME": "data", "PULSE_SPOOL_DIR": "../spool"}, REPOSITORY)
    assert plan.settings["PULSE_HOME"] == "/repository/data"
    assert plan.settings["PULSE_SPOOL_DIR"] == "/spool"
    assert plan.home == Path("/repository/data")


def test_live_needs_no_feed_of_its_own() -> None:
    """A live plan leaves the feed's address to the default."""
    plan = make_plan(Source.LIVE, {}, REPOSITORY)
    assert not plan.own_feed
    assert "PULSE_FEED_URL" not in plan.settings
    assert "PULSE_REST_URL" not in plan.settings


def test_simulated_points_the_streamer_at_the_simulator() -> None:
    """The feed's address follows the simulator's port, and the simulator trades what the streamer asks for."""
    environ = {"PULSE_SIMULATOR_WS_PORT": "7001", "PULSE_PRODUCTS": "SOL-USD"}
    plan = make_plan(Source.SIMULATED, environ, REPOSITORY)
    assert plan.own_feed
    assert plan.settings["PULSE_FEED_URL"] == "ws://127.0.0.1:7001"
    assert plan.settings["PULSE_SIMULATOR_PRODUCTS"] == "SOL-USD"


@pytest.mark.parametrize("source", [Source.SIMULATED, Source.REPLAY])
def test_rules_are_resolved_by_the_simulator(source: Source) -> None:
    """A feed that is not the exchange's has its own listing; another one that the user names is left alone."""
    environ = {"PULSE_REPLAY_FILE": "recording.ndjson"} if source is Source.REPLAY else {}
    plan = make_plan(source, {**environ, "PULSE_SIMULATOR_REST_PORT": "7003"}, REPOSITORY)
    assert plan.settings["PULSE_REST_URL"] == "http://127.0.0.1:7003"
    plan = make_plan(source, {**environ, "PULSE_REST_URL": "http://elsewhere:1"}, REPOSITORY)
    assert plan.settings["PULSE_REST_URL"] == "http://elsewhere:1"


@pytest.mark.parametrize(
    ("products", "traded"),
    [
        ("all", "BTC-USD,ETH-USD,XRP-USD"),
        ("quote:EUR,BTC-EUR,ETH-USD", "BTC-USD,ETH-USD,XRP-USD,BTC-EUR"),
        ("BTC-EUR,ETH-USD", "BTC-EUR,ETH-USD"),
    ],
)
def test_simulator_trades_its_usual_products_where_a_rule_asks(products: str, traded: str) -> None:
    """`all` is what the simulator trades anyway; what is asked for by name comes on top."""
    plan = make_plan(Source.SIMULATED, {"PULSE_PRODUCTS": products}, REPOSITORY)
    assert plan.settings["PULSE_SIMULATOR_PRODUCTS"] == traded


def test_the_simulators_own_products_win() -> None:
    """PULSE_SIMULATOR_PRODUCTS is not overwritten: a product the exchange does not know is a case to try."""
    environ = {"PULSE_SIMULATOR_PRODUCTS": "ETH-USD", "PULSE_PRODUCTS": "SOL-USD"}
    assert make_plan(Source.SIMULATED, environ, REPOSITORY).settings["PULSE_SIMULATOR_PRODUCTS"] == "ETH-USD"


def test_a_feed_given_by_the_user_is_used_and_not_started() -> None:
    """PULSE_FEED_URL with SOURCE=simulated is somebody else's simulator."""
    plan = make_plan(Source.SIMULATED, {"PULSE_FEED_URL": "ws://elsewhere:1"}, REPOSITORY)
    assert not plan.own_feed
    assert plan.settings["PULSE_FEED_URL"] == "ws://elsewhere:1"


def test_a_warehouse_given_by_the_user_is_used_and_not_started() -> None:
    """PULSE_WAREHOUSE_URL is somebody else's warehouse."""
    plan = make_plan(Source.LIVE, {"PULSE_WAREHOUSE_URL": "http://elsewhere:1"}, REPOSITORY)
    assert not plan.own_warehouse
    assert plan.config(WarehouseConfig).warehouse_url == "http://elsewhere:1"


def test_the_warehouse_is_addressed_by_its_port() -> None:
    """The warehouse's address follows PULSE_WAREHOUSE_PORT."""
    plan = make_plan(Source.LIVE, {"PULSE_WAREHOUSE_PORT": "7002"}, REPOSITORY)
    assert plan.own_warehouse
    assert plan.settings["PULSE_WAREHOUSE_URL"] == "http://127.0.0.1:7002"


@pytest.mark.parametrize(("source", "marts"), [("live", "pulse_marts"), ("replay", "pulse_replay_marts")])
def test_the_source_decides_the_datasets(source: str, marts: str) -> None:
    """Every program derives its names from the source the plan sets."""
    plan = make_plan(Source(source), {"PULSE_REPLAY_FILE": "recording.ndjson"}, REPOSITORY)
    assert plan.config(WarehouseConfig).datasets().marts == marts


def test_replay_needs_a_recording() -> None:
    """SOURCE=replay without REPLAY says how to name one."""
    with pytest.raises(StackError, match="REPLAY=file"):
        make_plan(Source.REPLAY, {}, REPOSITORY)


def test_simulated_refuses_a_recording() -> None:
    """SOURCE=simulated with REPLAY contradicts itself: made-up and recorded data never meet."""
    with pytest.raises(StackError, match=r"recording\.ndjson"):
        make_plan(Source.SIMULATED, {"PULSE_REPLAY_FILE": "recording.ndjson"}, REPOSITORY)


def test_an_unknown_variable_is_refused() -> None:
    """A misspelt variable stops the start instead of being ignored."""
    with pytest.raises(ConfigError, match="PULSE_PRODUCTS"):
        make_plan(Source.LIVE, {"PULSE_PRODUCT": "BTC-USD"}, REPOSITORY)


def test_given_settings_are_what_the_user_set() -> None:
    """Neither defaults nor empty or foreign variables count as given."""
    environ = {"PULSE_PRODUCTS": " BTC-USD ", "PULSE_CHANNELS": "", "HOME": "/root"}
    assert given_settings(environ, REPOSITORY) == {"PULSE_PRODUCTS": "BTC-USD"}
