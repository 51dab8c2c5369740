"""Settings of `make run` and its relatives."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from include.config.fields import HomeDir, Port


class StackConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`make run` and its relatives: everything on one machine."""

    home: HomeDir = Path(".pulse")
    airflow_host: Annotated[str, Meta(description="Address the Airflow UI listens on.")] = "127.0.0.1"
    airflow_port: Annotated[Port, Meta(description="Port of the Airflow UI.")] = 8080
    live_probe_seconds: Annotated[
        int, Meta(ge=1, description="How long SOURCE=auto tries to reach the live feed, in seconds.")
    ] = 5
