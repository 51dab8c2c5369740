"""What the settings of several components share: addresses, kinds of names, and the source they work for."""

import enum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

COINBASE_FEED_URL = "wss://ws-feed.exchange.coinbase.com"
COINBASE_REST_URL = "https://api.exchange.coinbase.com"

Port = Annotated[int, Meta(ge=1, le=65535)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Product = Annotated[str, Meta(pattern=r"^[A-Z0-9]+-[A-Z0-9]+$")]
Identifier = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$")]


class Source(enum.StrEnum):
    """Where the feed comes from. Data of different sources never share a spool or a dataset."""

    LIVE = "live"
    SIMULATED = "simulated"
    REPLAY = "replay"


SourceField = Annotated[
    Source | None,
    Meta(
        description="live, simulated or replay. Unset: live when PULSE_FEED_URL is a coinbase.com host, else simulated."
        " Decides the spool folder and the dataset names, so that made-up data never lies beside live data."
    ),
]
FeedUrl = Annotated[str, Meta(pattern=r"^wss?://", description="WebSocket address of the feed (ws:// or wss://).")]
HomeDir = Annotated[Path, Meta(description="Folder of everything this installation keeps on disk.")]
SpoolDir = Annotated[
    Path | None,
    Meta(description="Folder of the spool. Unset: PULSE_HOME/spool/<source>. One source per folder, enforced."),
]
RestUrl = Annotated[str, Meta(pattern=r"^https?://", description="Address of the exchange's REST API.")]
ProductRule = Annotated[str, Meta(pattern=r"^([A-Z0-9]+-[A-Z0-9]+|all|quote:[A-Z0-9]+)$")]
Products = Annotated[
    tuple[ProductRule, ...],
    Meta(
        min_length=1,
        description="Comma-separated product ids, for example BTC-USD,ETH-USD; all for every product that is online,"
        " quote:USD for those priced in USD. Rules are resolved over PULSE_REST_URL and refreshed.",
    ),
]


class Sourced(msgspec.Struct, frozen=True, kw_only=True):
    """Settings shared by all that must know which source they work for."""

    home: HomeDir = Path(".pulse")
    feed_url: FeedUrl = COINBASE_FEED_URL
    source: SourceField = None
    spool_dir: SpoolDir = None

    def resolved_source(self) -> Source:
        """The source, derived from the feed's address when it is not set."""
        if self.source is not None:
            return self.source
        host = urlsplit(self.feed_url).hostname or ""
        return Source.LIVE if host == "coinbase.com" or host.endswith(".coinbase.com") else Source.SIMULATED

    def resolved_spool_dir(self) -> Path:
        """The spool folder, derived from home and source when it is not set."""
        return self.spool_dir or self.home / "spool" / self.resolved_source().value
