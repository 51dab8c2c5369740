"""The state of one connection to the feed."""

import enum
import time
from dataclasses import dataclass
from typing import Any, Final

from include.coinbase import Subscription

MICROSECONDS: Final = 1_000_000


class FeedState(enum.StrEnum):
    """Where one connection to the feed is in its life, from the worst to the best."""

    STOPPED = "stopped"
    WAITING = "waiting"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    STREAMING = "streaming"

    def rank(self) -> int:
        """Higher is better."""
        return list(FeedState).index(self)


@dataclass(slots=True)
class FeedStatus:
    """One connection to the feed: a shard has one or two replicas, connected or not."""

    shard: int = 1
    replica: int = 1
    connection_no: int = 0
    """Number of the present connection, or else of the last one; 0 before the first."""
    state: FeedState = FeedState.WAITING
    products: int = 0
    """How many products it is to capture."""
    last_frame_us: int = 0
    """received_at of the last frame of any kind, in microseconds since the epoch; 0 before the first."""
    refused: tuple[Subscription, ...] = ()
    last_error: str = ""
    """Why the last connection or attempt ended; empty while data flow."""

    @property
    def connected(self) -> bool:
        """Whether a WebSocket connection is open."""
        return self.state in {FeedState.CONNECTED, FeedState.STREAMING}

    def place(self) -> tuple[int, int]:
        """Sorts by shard and replica."""
        return self.shard, self.replica

    def quality(self) -> tuple[int, int]:
        """Higher is better: what it is to its shard."""
        return self.state.rank(), self.last_frame_us

    def problem(self, stale_after_seconds: float) -> str:
        """Why no fresh data come this way; empty when they do."""
        if not self.connected:
            return f"not connected to the feed: {self.last_error or self.state}"
        if not self.last_frame_us:
            return "no frame received yet"
        age = time.time() - self.last_frame_us / MICROSECONDS
        return f"data are not fresh: the last frame came {age:.0f} s ago" if age > stale_after_seconds else ""

    def as_json(self) -> dict[str, Any]:
        """Its part of /status."""
        return {
            "shard": self.shard,
            "replica": self.replica,
            "connection_no": self.connection_no,
            "state": self.state.value,
            "products": self.products,
            "last_error": self.last_error,
            "last_frame_at": utc(self.last_frame_us),
        }


def utc(microseconds: int) -> str | None:
    """A moment as /status shows it; None for 0, which is never."""
    if not microseconds:
        return None
    seconds, fraction = divmod(microseconds, MICROSECONDS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:06d}Z"
