"""Every class of settings, in the order of the documentation."""

import msgspec

from include.config.alerts import AlertConfig, PagerConfig
from include.config.capture import StreamerConfig
from include.config.pipeline import BackfillConfig, PipelineConfig
from include.config.simulator import SimulatorConfig
from include.config.stack import StackConfig
from include.config.warehouse import EmulatorConfig, WarehouseConfig

ALL_CONFIGS: tuple[type[msgspec.Struct], ...] = (
    StreamerConfig,
    WarehouseConfig,
    PipelineConfig,
    BackfillConfig,
    SimulatorConfig,
    EmulatorConfig,
    StackConfig,
    AlertConfig,
    PagerConfig,
)
