"""Prometheus metrics. Counters that every frame touches are kept in Traffic and only read here, at a scrape."""

from collections import Counter as Totals
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamer.budget import Level, SpoolBudget
from streamer.clock import SessionClock
from streamer.gaps import GapTracker
from streamer.recorder import STAGES, Recorder
from streamer.traffic import Traffic

PREFIX = "pulse_streamer"

_COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """All metrics of one streamer process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.commit_seconds = Histogram(
            f"{PREFIX}_commit_seconds",
            "Duration of a sync to disk.",
            registry=self.registry,
            buckets=_COMMIT_BUCKETS,
        )
        self.durable_seconds = Histogram(
            f"{PREFIX}_durable_seconds",
            "Age of the oldest record of each sync when it was durable: from its receipt.",
            registry=self.registry,
            buckets=_COMMIT_BUCKETS,
        )
        self.receive_lag_seconds = Histogram(
            f"{PREFIX}_receive_lag_seconds",
            "From a heartbeat's or trade's exchange time to its receipt, sampled. Below zero when the clocks differ.",
            registry=self.registry,
            buckets=_LAG_BUCKETS,
        )
        self.reconnects = Counter(
            f"{PREFIX}_reconnects",
            "Connections and attempts that ended by themselves, by cause.",
            ["cause"],
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def watch(
        self, traffic: Traffic, gaps: GapTracker, recorder: Recorder, budget: SpoolBudget, clock: SessionClock
    ) -> None:
        """Export what is counted elsewhere."""
        self.registry.register(_TrafficCollector(traffic))
        self.registry.register(_GapCollector(gaps, traffic.label))
        self.registry.register(_EventCollector(recorder, clock))
        self.registry.register(_SpoolCollector(budget))

    def gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read at every scrape."""
        Gauge(f"{PREFIX}_{name}", documentation, registry=self.registry).set_function(value)


class _TrafficCollector(Collector):
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        messages = CounterMetricFamily(
            f"{PREFIX}_messages", "Received frames by type and product.", labels=["type", "product"]
        )
        size = CounterMetricFamily(
            f"{PREFIX}_received_bytes", "Bytes of received frames, uncompressed.", labels=["type", "product"]
        )
        malformed = 0
        for count in self._traffic.counts():
            messages.add_metric([count.type, count.product], count.messages)
            size.add_metric([count.type, count.product], count.bytes)
            malformed += count.messages if count.type == "malformed" else 0
        yield messages
        yield size
        yield CounterMetricFamily(f"{PREFIX}_malformed", "Frames kept as malformed records.", value=malformed)


class _GapCollector(Collector):
    """Products that share a label share its totals."""

    def __init__(self, gaps: GapTracker, label: Callable[[str], str]) -> None:
        self._gaps = gaps
        self._label = label

    def collect(self) -> Iterable[Metric]:
        found: Totals[tuple[str, str]] = Totals()
        missing: Totals[str] = Totals()
        closed: Totals[str] = Totals()
        duplicates: Totals[str] = Totals()
        implausible = 0
        for count in self._gaps.counts():
            product = self._label(count.product_id)
            for detected_by, number in count.gaps.items():
                found[product, detected_by.value] += number
            missing[product] += count.missing
            closed[product] += count.closed
            duplicates[product] += count.duplicates
            implausible += count.implausible
        gaps = CounterMetricFamily(
            f"{PREFIX}_gaps", "Gaps in the trades, by what showed them.", labels=["product", "detected_by"]
        )
        for labels, number in found.items():
            gaps.add_metric(labels, number)
        yield gaps
        yield _by_product("missing_trades", "Trades in gaps, whether they came later or not.", missing)
        yield _by_product("late_trades", "Trades in gaps that came after all.", closed)
        yield _by_product("duplicate_trades", "Trades received again, as from a redundant connection.", duplicates)
        yield CounterMetricFamily(
            f"{PREFIX}_implausible_trade_ids", "Trades whose id was not believed; recorded as any.", value=implausible
        )


def _by_product(name: str, documentation: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", documentation, labels=["product"])
    for product, value in values.items():
        family.add_metric([product], value)
    return family


class _EventCollector(Collector):
    """What happened seldom, and is a control record each time."""

    def __init__(self, recorder: Recorder, clock: SessionClock) -> None:
        self._recorder = recorder
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        stages = CounterMetricFamily(
            f"{PREFIX}_back_pressure", "Connections not read, read again, given up.", labels=["stage"]
        )
        for stage in STAGES:
            stages.add_metric([stage], self._recorder.back_pressure[stage])
        yield stages
        yield CounterMetricFamily(
            f"{PREFIX}_disk_failures", "Times the disk stopped taking lines.", value=self._recorder.disk_failures
        )
        yield CounterMetricFamily(f"{PREFIX}_clock_steps", "Times the wall clock was set.", value=self._clock.steps)


class _SpoolCollector(Collector):
    """The spool as it was last measured: a scrape does not touch the disk."""

    def __init__(self, budget: SpoolBudget) -> None:
        self._budget = budget

    def collect(self) -> Iterable[Metric]:
        size = GaugeMetricFamily(f"{PREFIX}_spool_bytes", "Size of the spool by state.", labels=["state"])
        segments = GaugeMetricFamily(f"{PREFIX}_spool_segments", "Segments in the spool by state.", labels=["state"])
        for state, usage in self._budget.usage.items():
            size.add_metric([state.value], usage.bytes)
            segments.add_metric([state.value], usage.segments)
        yield size
        yield segments
        budget = self._budget
        yield GaugeMetricFamily(
            f"{PREFIX}_spool_budget_used_bytes", "Size of the spool but for its archive.", value=budget.used_bytes
        )
        yield GaugeMetricFamily(f"{PREFIX}_spool_budget_max_bytes", "What it may be.", value=budget.max_bytes)
        yield GaugeMetricFamily(
            f"{PREFIX}_spool_full", "1 while nothing is captured for it.", value=budget.level is Level.FULL
        )
