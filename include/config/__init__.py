"""Every setting of the product: one prefix (`PULSE_`), parsed once, frozen, and refusing what it does not understand.

Each component has one class here; a field `spool_dir` is the variable `PULSE_SPOOL_DIR`. `load(StreamerConfig)`
reads the environment.
`docs/configuration.md` is generated from these classes (`python -m include.config`).
"""

from include.config.alerts import AlertConfig, ChannelName, MailSecurity, PagerConfig
from include.config.capture import StreamerConfig, TransportName
from include.config.fields import COINBASE_FEED_URL, COINBASE_REST_URL, Source
from include.config.loader import PREFIX, ConfigError, is_secret, load, variable_name, variables
from include.config.pipeline import BackfillConfig, Compression, PipelineConfig
from include.config.settings import ALL_CONFIGS
from include.config.simulator import SimulatorConfig
from include.config.stack import StackConfig
from include.config.warehouse import Datasets, EmulatorConfig, WarehouseConfig

__all__ = [
    "ALL_CONFIGS",
    "COINBASE_FEED_URL",
    "COINBASE_REST_URL",
    "PREFIX",
    "AlertConfig",
    "BackfillConfig",
    "ChannelName",
    "Compression",
    "ConfigError",
    "Datasets",
    "EmulatorConfig",
    "MailSecurity",
    "PagerConfig",
    "PipelineConfig",
    "SimulatorConfig",
    "Source",
    "StackConfig",
    "StreamerConfig",
    "TransportName",
    "WarehouseConfig",
    "is_secret",
    "load",
    "variable_name",
    "variables",
]
