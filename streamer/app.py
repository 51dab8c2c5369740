"""The streamer process: its parts, their start and their end."""

import asyncio
import logging
import sys
import time
from typing import Final

from include.config import StreamerConfig
from include.spool import RecordEncoder, SegmentWriter, Session, Spool
from streamer.budget import SpoolBudget
from streamer.clock import SessionClock
from streamer.commits import CommitAges
from streamer.connection import ConnectionRate, Feed
from streamer.endpoints import serving
from streamer.feed_status import MICROSECONDS, FeedStatus
from streamer.gaps import GapTracker
from streamer.logs import StatusLine
from streamer.metrics import Metrics
from streamer.pager import Pager, PagerSettings
from streamer.positions import Positions, last_positions
from streamer.product_watch import ProductWatch
from streamer.products import ProductChange, ProductsStatus
from streamer.recorder import Recorder
from streamer.shards import Shards
from streamer.status import Status
from streamer.threads import in_thread
from streamer.traffic import Traffic
from streamer.transports import Transport, transport_named
from streamer.upkeep import Upkeep
from streamer.writer import DiskWriter, Segments

log = logging.getLogger(__name__)

#: What is left of the 2 s a stop may take, after the feed was closed.
CLOSE_DISK_SECONDS: Final = 1.0


class Streamer:
    """One session: from the lock on the streamer's id to the last record. Runs once, inside an event loop."""

    def __init__(
        self,
        config: StreamerConfig,
        spool: Spool,
        *,
        transport: Transport | None = None,
        segments: Segments | None = None,
        rate: ConnectionRate | None = None,
        pager: PagerSettings | None = None,
    ) -> None:
        """`transport` and `segments` replace the configured library and the spool's own segments. Without `pager`
        nobody is paged.

        Raises ConfigError when the library is not installed.
        """
        session = Session.new(config.streamer_id, time.time_ns())
        self._config = config
        self._spool = spool
        self._metrics = Metrics()
        self._commits = CommitAges()
        traffic = Traffic(config.product_ids(), self._metrics.receive_lag_seconds.observe)
        self._writer = DiskWriter(
            segments or SegmentWriter(spool, session, config.segment_max_bytes, config.segment_max_age_seconds),
            flush_interval_ms=config.flush_interval_ms,
            commit_interval_ms=config.commit_interval_ms,
            buffer_max_bytes=config.buffer_max_bytes,
            on_commit=self._committed,
        )
        self._clock = SessionClock()
        self._gaps = GapTracker(config.gap_grace_ms / 1000)
        self._recorder = Recorder(RecordEncoder(session, self._clock.now_ns), self._writer, traffic, self._gaps)
        self._upkeep = Upkeep(self._clock, self._recorder, self._writer, self._commits)
        self.budget = SpoolBudget(spool, config.spool_max_bytes, self._recorder.spool_budget)
        self._transport = transport or transport_named(config.transport)
        self._rate = rate or ConnectionRate()
        self._traffic = traffic
        self.status = Status(
            self._writer,
            traffic,
            ProductsStatus(config.product_rules(), config.product_ids()),
            self.budget,
            session_id=session.session_id,
            stale_after_seconds=config.heartbeat_timeout_seconds,
        )
        self._pager = Pager(config, pager, spool, self.status) if pager else None
        self._metrics.watch(traffic, self._gaps, self._recorder, self.budget, self._clock)
        self._add_gauges()

    async def run(self, stop: asyncio.Event) -> None:
        """Capture until `stop` is set; then write, sync and hand over everything.

        Raises ConfigError when the HTTP address is taken, DiskFailed when lines were lost, and what is not retryable on
        the feed; several of these in an ExceptionGroup.
        """
        config = self._config
        async with serving(self.status, self._metrics.registry, config.streamer_host, config.streamer_port):
            self._writer.start()
            self._recorder.started(config)
            log.info("started", extra={"feed_url": config.feed_url, "streamer_id": config.streamer_id})
            reason = "failed"
            try:
                await self._supervise(stop)
                reason = "signal"
            finally:
                self._upkeep.look()
                self._recorder.stopped(reason)
                await self._writer.close(CLOSE_DISK_SECONDS)
            log.info("stopped", extra={"durable_record_no": self._writer.durable_record_no})

    async def _supervise(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            parts = [
                tasks.create_task(self._writer.supervise(), name="disk"),
                tasks.create_task(self._capture(), name="capture"),
                tasks.create_task(self._report(), name="report"),
                tasks.create_task(self.budget.watch(), name="budget"),
            ]
            if self._pager is not None:
                parts.append(tasks.create_task(self._pager.watch(), name="pager"))
            await stop.wait()
            for part in parts:
                part.cancel()

    async def _capture(self) -> None:
        config, products = self._config, self.status.products
        await self.budget.measure()
        positions = await in_thread(self._last_positions, "positions")
        self._gaps.recover(positions.last_trade_ids, positions.missing)
        async with asyncio.TaskGroup() as tasks:
            shards = Shards(
                tasks,
                self._feed,
                self.status.feeds,
                products_per_connection=config.products_per_connection,
                replicas=config.connections_per_shard,
            )
            # What needs no listing does not wait for it.
            shards.assign(products.products)
            if products.rules:
                watch = ProductWatch(config, products, lambda change: self._resolved(change, shards))
                tasks.create_task(watch.run(), name="products")

    def _committed(self, sync_seconds: float, age_seconds: float) -> None:
        self._metrics.commit_seconds.observe(sync_seconds)
        self._metrics.durable_seconds.observe(age_seconds)
        self._commits.add(age_seconds)

    def _last_positions(self) -> Positions:
        return last_positions(self._spool, self._config.streamer_id, self._config.products)

    def _feed(self, status: FeedStatus, products: tuple[str, ...]) -> Feed:
        return Feed(
            self._config,
            self._transport,
            self._recorder,
            status,
            products,
            rate=self._rate,
            on_disconnect=lambda cause: self._metrics.reconnects.labels(cause).inc(),
        )

    def _resolved(self, change: ProductChange, shards: Shards) -> None:
        self._recorder.resolved(change)
        self._traffic.know(change.added)
        shards.assign(change.products)

    async def _report(self) -> None:
        line = StatusLine(sys.stderr)
        while True:
            self._traffic.sample()
            self._upkeep.look()
            line.show(self.status.line())
            await asyncio.sleep(1)

    def _add_gauges(self) -> None:
        gauge, status, writer = self._metrics.gauge, self.status, self._writer
        gauge("connected", "1 while every shard has an open connection.", lambda: status.connected)
        gauge("connections", "Open connections to the feed.", lambda: status.connections_open)
        gauge("connections_wanted", "Connections that are to be open.", lambda: len(status.feeds))
        gauge("shards", "Groups of products with connections of their own.", lambda: status.shard_count)
        gauge("products", "Products to capture.", lambda: len(status.products.products))
        gauge("refused_products", "Products refused on any channel.", lambda: status.refused_products)
        gauge("refused_channels", "Channels refused in whole or in part.", lambda: len(status.refused))
        gauge(
            "product_listing_failing",
            "1 while the products cannot be resolved; the last result is kept.",
            lambda: bool(status.products.last_error),
        )
        gauge(
            "last_frame_timestamp_seconds",
            "Receipt of the last frame, since the epoch.",
            lambda: status.last_frame_us / MICROSECONDS,
        )
        gauge("buffer_bytes", "Size of the lines the disk has not taken yet.", lambda: writer.buffered_bytes)
        gauge("buffer_lines", "Lines the disk has not taken yet.", lambda: writer.buffered_lines)
        gauge("disk_writable", "0 while the disk does not take lines.", lambda: writer.failure is None)
        gauge(
            "durable_record_no", "Everything up to this record survives a power cut.", lambda: writer.durable_record_no
        )
        gauge(
            "durable_lag_seconds", "Age of the oldest record that is not durable.", lambda: writer.durable_lag_seconds
        )
