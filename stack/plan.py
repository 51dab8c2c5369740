"""What a stack runs: the source of the feed and every PULSE_ setting, decided once before anything starts.

The plan is written down when the stack starts (`state`), so that a second `make up`, `make status` and `make clean`
know what runs. Names of datasets and folders are not decided here: `include.config` derives them from the settings.
"""

import enum
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from include.config import (
    ALL_CONFIGS,
    PREFIX,
    EmulatorConfig,
    SimulatorConfig,
    Source,
    StackConfig,
    StreamerConfig,
    load,
    variable_name,
)
from stack.errors import StackError


class SourceChoice(enum.StrEnum):
    """SOURCE= of the Makefile."""

    AUTO = "auto"
    LIVE = "live"
    SIMULATED = "simulated"
    REPLAY = "replay"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One decision.

    `settings` are complete PULSE_ variables with absolute paths; equal settings mean an equal stack.
    """

    source: Source
    settings: dict[str, str]
    own_feed: bool
    own_warehouse: bool

    def config[T: msgspec.Struct](self, config_class: type[T]) -> T:
        """One component's configuration under this plan."""
        return load(config_class, self.settings)

    @property
    def home(self) -> Path:
        """Folder of everything this stack keeps on disk."""
        return self.config(StackConfig).home

    @property
    def replay_file(self) -> Path | None:
        """The recording, when the source is one."""
        return self.config(SimulatorConfig).replay_file

    def with_settings(self, more: Mapping[str, str]) -> "Plan":
        """A copy with more settings."""
        return msgspec.structs.replace(self, settings={**self.settings, **more})


def home_of(environ: Mapping[str, str], repository: Path) -> Path:
    """The absolute PULSE_HOME of an environment; a relative one is relative to the repository."""
    return (repository / load(StackConfig, environ).home).resolve()


def given_settings(environ: Mapping[str, str], repository: Path) -> dict[str, str]:
    """The PULSE_ variables that the user set, with paths made absolute: the programs need not share a working folder.

    Raises ConfigError for a variable that is unknown or does not fit.
    """
    given = {name: value.strip() for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}
    for config_class in ALL_CONFIGS:
        config: Any = load(config_class, environ)
        for field in config_class.__struct_fields__:
            value = getattr(config, field)
            if isinstance(value, Path) and variable_name(field) in given:
                given[variable_name(field)] = str((repository / value).resolve())
    return given


def make_plan(source: Source, environ: Mapping[str, str], repository: Path) -> Plan:
    """Settings for a source: what the user set, and feed and warehouse filled in where the stack provides them.

    Raises ConfigError for a bad variable, StackError for settings that contradict the source.
    """
    settings = given_settings(environ, repository)
    settings |= {variable_name("source"): source.value, variable_name("home"): str(home_of(environ, repository))}
    own_feed = source is not Source.LIVE and variable_name("feed_url") not in settings
    if own_feed:
        settings |= _feed_settings(source, settings)
    own_warehouse = variable_name("warehouse_url") not in settings
    if own_warehouse:
        emulator = load(EmulatorConfig, settings)
        settings[variable_name("warehouse_url")] = f"http://{emulator.warehouse_host}:{emulator.warehouse_port}"
    return Plan(source=source, settings=settings, own_feed=own_feed, own_warehouse=own_warehouse)


def _feed_settings(source: Source, settings: dict[str, str]) -> dict[str, str]:
    simulator = load(SimulatorConfig, settings)
    host = simulator.simulator_host
    feed = {variable_name("feed_url"): f"ws://{host}:{simulator.simulator_ws_port}"}
    if variable_name("rest_url") not in settings:
        feed[variable_name("rest_url")] = f"http://{host}:{simulator.simulator_rest_port}"
    if source is Source.REPLAY:
        if simulator.replay_file is None:
            raise StackError("SOURCE=replay needs a recording: make run SOURCE=replay REPLAY=file")
        return feed
    if simulator.replay_file is not None:
        raise StackError(
            f"SOURCE=simulated does not play {simulator.replay_file}: leave out REPLAY, or use SOURCE=replay"
        )
    if variable_name("products") in settings and variable_name("simulator_products") not in settings:
        feed[variable_name("simulator_products")] = ",".join(_products_to_trade(settings, simulator))
    return feed


def _products_to_trade(settings: Mapping[str, str], simulator: SimulatorConfig) -> Iterable[str]:
    """What the streamer asks for by name; where it asks by a rule as well, the simulator's usual products besides."""
    asked = load(StreamerConfig, settings)
    names = asked.product_ids()
    return dict.fromkeys((*simulator.simulator_products, *names)) if asked.product_rules() else names
