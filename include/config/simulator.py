"""Settings of the fake exchange."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from include.config.fields import HomeDir, Port, Product


class SimulatorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The fake exchange (`python -m simulator`)."""

    home: HomeDir = Path(".pulse")
    simulator_host: Annotated[str, Meta(description="Address the fake exchange listens on.")] = "127.0.0.1"
    simulator_ws_port: Annotated[Port, Meta(description="Port of the fake exchange's WebSocket feed.")] = 9443
    simulator_rest_port: Annotated[
        Port, Meta(description="Port of the fake exchange's REST, truth and control endpoints.")
    ] = 9444
    simulator_products: Annotated[
        tuple[Product, ...], Meta(min_length=1, description="Products the fake exchange trades.")
    ] = (
        "BTC-USD",
        "ETH-USD",
        "XRP-USD",
    )
    simulator_rate: Annotated[
        str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", description="Trades a second over all products, on average.")
    ] = "10"
    simulator_seed: Annotated[
        int, Meta(ge=0, description="Seed of the market: the same seed makes the same prices and sizes.")
    ] = 1
    simulator_dir: Annotated[
        Path | None, Meta(description="Folder of the truth ledger. Unset: PULSE_HOME/simulator.")
    ] = None
    simulator_history_hours: Annotated[
        int, Meta(ge=0, le=24 * 31, description="A new ledger begins with this many hours of past trades.")
    ] = 0
    simulator_rest_rate: Annotated[
        str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", description="REST requests a second from one address; past it 429.")
    ] = "10"
    simulator_rest_burst: Annotated[int, Meta(ge=1, description="REST requests at once from one address.")] = 15
    simulator_record_sent: Annotated[
        bool, Meta(description="Keep every frame sent to a connection on disk, for /sent. Costs speed: for tests.")
    ] = False
    replay_file: Annotated[Path | None, Meta(description="Serve this recording instead of a made-up market.")] = None
    replay_speed: Annotated[
        str,
        Meta(
            pattern=r"^([0-9]+(\.[0-9]+)?|max)$",
            description="Replay speed: 1 is real time, 10 ten times as fast, max without waiting.",
        ),
    ] = "1"

    def resolved_dir(self) -> Path:
        """Folder of the truth ledger."""
        return self.simulator_dir or self.home / "simulator"
