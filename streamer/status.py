"""What the streamer knows about itself: the source of /readyz, /status, the status line and the gauges."""

import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from include.coinbase import Subscription
from streamer.budget import Level, SpoolBudget
from streamer.feed_status import MICROSECONDS, FeedState, FeedStatus, utc
from streamer.products import ProductsStatus
from streamer.traffic import Traffic
from streamer.writer import DiskWriter

#: The state of a streamer that captures nothing because it does not know its products yet, or because there are none.
NO_PRODUCTS: Final = "no_products"

#: Data that are not on the disk after this time are as good as not captured.
_SLOW_AFTER_SECONDS: Final = 5.0


class Status:
    """The whole process, as seen from outside. A shard is as well off as the best of its connections."""

    def __init__(
        self,
        writer: DiskWriter,
        traffic: Traffic,
        products: ProductsStatus,
        budget: SpoolBudget,
        *,
        session_id: str,
        stale_after_seconds: float,
    ) -> None:
        """Data older than `stale_after_seconds` are not fresh."""
        self.writer = writer
        self.traffic = traffic
        self.products = products
        self.budget = budget
        self.feeds: list[FeedStatus] = []
        """One for each connection that is to be open, in no particular order."""
        self._session_id = session_id
        self._stale_after_seconds = stale_after_seconds

    def not_ready(self) -> list[str]:
        """Why data do not flow from the exchange to the disk at the moment; empty when they do."""
        reasons = []
        if self.products.pending:
            reasons.append(f"the products are not known yet: {self.products.last_error or 'asking the exchange'}")
        elif not self.feeds:
            reasons.append(f"no product fits PULSE_PRODUCTS={','.join(self.products.rules)}")
        reasons.extend(self._shard_problems())
        if failure := self.writer.failure:
            reasons.append(f"disk not writable for {time.monotonic() - failure.since:.0f} s: {failure.error}")
        elif (lag := self.writer.durable_lag_seconds) > _SLOW_AFTER_SECONDS:
            reasons.append(f"disk too slow: the oldest record that is not durable waits for {lag:.0f} s")
        if self.budget.level is Level.FULL:
            reasons.append(
                f"spool full: {self.budget.used_bytes} of {self.budget.max_bytes} bytes (PULSE_SPOOL_MAX_BYTES);"
                " does the pipeline archive what it loaded?"
            )
        return reasons

    @property
    def state(self) -> str:
        """One word: disk_failing, spool_full, no_products, or the FeedState of the shard that is worst off."""
        if self.writer.failure:
            return "disk_failing"
        if self.budget.level is Level.FULL:
            return "spool_full"
        best = (max((feed.state for feed in replicas), key=FeedState.rank) for replicas in self._shards())
        return min(best, key=FeedState.rank, default=NO_PRODUCTS)

    @property
    def connected(self) -> bool:
        """Whether every shard has an open connection."""
        shards = self._shards()
        return bool(shards) and all(any(feed.connected for feed in replicas) for replicas in shards)

    @property
    def connections_open(self) -> int:
        """Open connections."""
        return sum(feed.connected for feed in self.feeds)

    @property
    def shard_count(self) -> int:
        """Shards that are to be captured."""
        return len({feed.shard for feed in self.feeds})

    @property
    def last_frame_us(self) -> int:
        """received_at of the last frame on any connection, in microseconds since the epoch; 0 before the first."""
        return max((feed.last_frame_us for feed in self.feeds), default=0)

    @property
    def last_error(self) -> str:
        """Why some connection is down; empty while data flow on all."""
        return next((feed.last_error for feed in self.feeds if feed.last_error), "")

    @property
    def refused(self) -> tuple[Subscription, ...]:
        """What the exchange refused on any connection."""
        merged: dict[str, set[str]] = {}
        for feed in self.feeds:
            for channel, product_ids in feed.refused:
                merged.setdefault(channel, set()).update(product_ids)
        return tuple(Subscription(channel, tuple(sorted(ids))) for channel, ids in sorted(merged.items()))

    @property
    def refused_products(self) -> int:
        """Products refused on any channel."""
        return len({product_id for _, product_ids in self.refused for product_id in product_ids})

    def silent_shards(self, limit_seconds: float) -> list[str]:
        """The shards without a frame for longer than this on any connection, and why as far as it is known. One that
        never had a frame is not among them."""
        shards = self._shards()
        silent = []
        for replicas in shards:
            best = max(replicas, key=lambda feed: feed.last_frame_us)
            if best.last_frame_us and time.time() - best.last_frame_us / MICROSECONDS > limit_seconds:
                reason = best.last_error or best.state.value
                silent.append(f"shard {best.shard} of {len(shards)}, {best.products} products: {reason}")
        return silent

    def as_json(self) -> dict[str, Any]:
        """The body of /status."""
        return {
            "state": self.state,
            "connected": self.connected,
            "messages_per_second": round(self.traffic.messages_per_second(), 1),
            "messages_total": self.traffic.messages,
            "last_frame_at": utc(self.last_frame_us),
            "durable_record_no": self.writer.durable_record_no,
            "session_id": self._session_id,
            "refused": [subscription._asdict() for subscription in self.refused],
            "last_error": self.last_error,
            "products": self.products.as_json(),
            "connections": [feed.as_json() for feed in sorted(self.feeds, key=FeedStatus.place)],
        }

    def line(self) -> str:
        """One line for a terminal."""
        writer, traffic, feeds = self.writer, self.traffic, self.feeds
        connections = f" · {self.connections_open} of {len(feeds)} connections" if len(feeds) > 1 else ""
        return (
            f"{self.state}{connections} · {traffic.messages_per_second():,.1f} messages/s"
            f" · {traffic.messages:,} received"
            f" · durable to record {writer.durable_record_no:,} · {writer.buffered_bytes / 1024:,.0f} KiB buffered"
        )

    def _shard_problems(self) -> Iterator[str]:
        shards = self._shards()
        for replicas in shards:
            if all(feed.problem(self._stale_after_seconds) for feed in replicas):
                best = max(replicas, key=FeedStatus.quality)
                problem = best.problem(self._stale_after_seconds)
                yield f"shard {best.shard}: {problem}" if len(shards) > 1 else problem

    def _shards(self) -> list[list[FeedStatus]]:
        """The connections of each shard."""
        in_order = sorted(self.feeds, key=FeedStatus.place)
        return [list(replicas) for _, replicas in groupby(in_order, lambda feed: feed.shard)]
