"""Settings of the streamer."""

import enum
from typing import Annotated

from msgspec import Meta

from include.config.fields import COINBASE_REST_URL, Name, Port, Products, RestUrl, Sourced


class TransportName(enum.StrEnum):
    """WebSocket library of the streamer."""

    WEBSOCKETS = "websockets"
    PICOWS = "picows"


class StreamerConfig(Sourced, frozen=True, kw_only=True):
    """The capture process (`python -m streamer`)."""

    products: Products = ("BTC-USD", "ETH-USD", "XRP-USD")
    rest_url: RestUrl = COINBASE_REST_URL
    products_refresh_seconds: Annotated[
        int, Meta(ge=1, description="all and quote: rules are resolved again this often, in seconds.")
    ] = 3600
    products_per_connection: Annotated[
        int, Meta(ge=1, description="Products are spread over connections of at most this many.")
    ] = 100
    connections_per_shard: Annotated[
        int,
        Meta(
            ge=1,
            le=2,
            description="2: a second, redundant connection for the same products. Both are recorded;"
            " the first receipt of a trade wins downstream.",
        ),
    ] = 1
    refused_retry_seconds: Annotated[
        int,
        Meta(ge=1, description="Products that the exchange refused are asked for again this often, in seconds."),
    ] = 600
    channels: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-z0-9_]+$")], ...],
        Meta(
            min_length=1,
            description="Comma-separated public channels: what is not subscribed is not received (the channel filter).",
        ),
    ] = ("matches", "ticker", "heartbeat")
    streamer_id: Annotated[
        Name, Meta(description="Unique among the streamers of a spool: lower-case letters, digits, hyphens.")
    ] = "streamer-1"
    segment_max_bytes: Annotated[
        int, Meta(ge=4096, description="A segment is rotated when it is this large, in bytes.")
    ] = 64 * 1024 * 1024
    segment_max_age_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="A segment is rotated when its first record is this old, in seconds, also without a scheduler.",
        ),
    ] = 300
    flush_interval_ms: Annotated[
        int, Meta(ge=1, le=1000, description="Received lines reach the kernel within this time, in ms.")
    ] = 50
    commit_interval_ms: Annotated[
        int, Meta(ge=1, le=10_000, description="Lines are synced to disk (group commit) this often, in ms.")
    ] = 100
    buffer_max_bytes: Annotated[
        int,
        Meta(
            ge=1024 * 1024, description="Memory for lines the disk has not taken yet; past it the socket is not read."
        ),
    ] = 8 * 1024 * 1024
    connect_timeout_seconds: Annotated[
        int, Meta(ge=1, description="Time for TCP, TLS and WebSocket handshake, in seconds.")
    ] = 10
    first_message_timeout_seconds: Annotated[
        int, Meta(ge=1, description="Time for the first frame after the subscription was sent, in seconds.")
    ] = 5
    gap_grace_ms: Annotated[
        int,
        Meta(
            ge=0,
            description="A heartbeat may be ahead of the trades for this long, in ms, before what is missing counts"
            " as a gap.",
        ),
    ] = 2000
    read_pause_max_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="A connection that is not read for this long, in seconds, because the disk is slow, is given"
            " up; the next one is opened when the disk has caught up.",
        ),
    ] = 30
    spool_max_bytes: Annotated[
        int,
        Meta(
            ge=1024 * 1024,
            description="Disk budget, in bytes, of everything in the spool but the archive. A warning from 80 %, no"
            " more capture at 100 %, capture again below 90 %. Nothing is deleted for it.",
        ),
    ] = 20 * 1024 * 1024 * 1024
    transport: Annotated[
        TransportName, Meta(description="WebSocket library: websockets, or picows, which is faster (an extra package).")
    ] = TransportName.WEBSOCKETS
    heartbeat_timeout_seconds: Annotated[
        int,
        Meta(
            ge=2,
            description="Reconnect when no heartbeat (or, where that channel is not subscribed, no frame at all)"
            " came for this long, in seconds.",
        ),
    ] = 10
    backoff_max_seconds: Annotated[
        int, Meta(ge=1, description="Longest wait between two connection attempts, in seconds.")
    ] = 30
    frame_max_bytes: Annotated[
        int, Meta(ge=65536, description="Largest frame accepted, in bytes; level 2 snapshots exceed 1 MB.")
    ] = 16 * 1024 * 1024
    streamer_host: Annotated[
        str, Meta(description="Address the streamer's /healthz, /readyz and /metrics listen on.")
    ] = "127.0.0.1"
    streamer_port: Annotated[Port, Meta(description="Port of the streamer's /healthz, /readyz and /metrics.")] = 9108

    def product_ids(self) -> tuple[str, ...]:
        """The products given by their ids, each once."""
        return tuple(dict.fromkeys(entry for entry in self.products if "-" in entry))

    def product_rules(self) -> tuple[str, ...]:
        """The other entries, `all` and `quote:…`: the exchange's listing says what they mean."""
        return tuple(dict.fromkeys(entry for entry in self.products if "-" not in entry))
