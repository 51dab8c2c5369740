"""Settings of BigQuery and of its local stand-in."""

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from include.config.fields import HomeDir, Identifier, Port, Source, Sourced

_PREFIX_OF_SOURCE = {Source.LIVE: "", Source.SIMULATED: "_sim", Source.REPLAY: "_replay"}


class Datasets(NamedTuple):
    """BigQuery dataset ids."""

    raw: str
    ops: str
    staging: str
    marts: str


class WarehouseConfig(Sourced, frozen=True, kw_only=True):
    """Where BigQuery is and how our datasets are called."""

    project: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", description="Google Cloud project id.")] = (
        "market-pulse"
    )
    location: Annotated[str, Meta(description="BigQuery location of the datasets.")] = "US"
    dataset_prefix: Annotated[
        Identifier,
        Meta(description="First part of every dataset name; simulated data add _sim, replayed data _replay."),
    ] = "pulse"
    warehouse_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://.+)?$",
            description="REST endpoint of the local warehouse. Unset: BigQuery with application default credentials.",
        ),
    ] = ""
    raw_expiration_days: Annotated[
        int,
        Meta(
            ge=1,
            le=416,
            description="Hourly partitions of raw.messages expire after this many days (BigQuery has 10,000 at most).",
        ),
    ] = 60

    def datasets(self) -> Datasets:
        """The four datasets of this source."""
        prefix = self.dataset_prefix + _PREFIX_OF_SOURCE[self.resolved_source()]
        return Datasets(f"{prefix}_raw", f"{prefix}_ops", f"{prefix}_staging", f"{prefix}_marts")


class EmulatorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The local warehouse (`python -m emulator`)."""

    home: HomeDir = Path(".pulse")
    project: Annotated[str, Meta(description="Google Cloud project id.")] = "market-pulse"
    warehouse_host: Annotated[str, Meta(description="Address the local warehouse listens on.")] = "127.0.0.1"
    warehouse_port: Annotated[Port, Meta(description="REST port of the local warehouse.")] = 9050
    warehouse_grpc_port: Annotated[Port, Meta(description="Storage API port of the local warehouse.")] = 9060
    warehouse_dir: Annotated[
        Path | None, Meta(description="Folder of the local warehouse's data. Unset: PULSE_HOME/warehouse.")
    ] = None
    warehouse_memory_max_bytes: Annotated[
        int,
        Meta(
            ge=256 * 1024 * 1024,
            description="Memory for what the local warehouse's statements work on; what is beyond goes to its folder.",
        ),
    ] = 1024 * 1024 * 1024

    def resolved_dir(self) -> Path:
        """Folder of the data."""
        return self.warehouse_dir or self.home / "warehouse"
