"""A whole run: start the parts, attack them until enough was killed, let everything come to its end, judge."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from chaos import evidence
from chaos.damage import cut_a_line
from chaos.judge import Verdict, judge
from chaos.parts import REPOSITORY, Exchange, Part, PartFailed, Proxy, Streamer, WarehouseServer, eventually, free_ports
from chaos.scheduler import PEACE, Attack, Scheduler
from chaos.tally import Tally
from chaos.weather import HANG_SECONDS, Weather
from include.config import WarehouseConfig, load
from include.warehouse.warehouse import Warehouse

PRODUCTS = ("BTC-USD", "ETH-USD", "XRP-USD")
#: Matches and tickers; heartbeats come on top.
_FRAMES_A_TRADE = 2
#: The first run, which nobody disturbs either, at most.
_FIRST_TRIES = 3
#: The last runs, which nobody disturbs, at most.
_LAST_RUNS = 8


class Plan(NamedTuple):
    """What to do. `kills` or `minutes` end the attack, whichever comes first; `transform_every` counts runs."""

    seed: int
    kills: int
    minutes: float
    rate: int
    """Messages a second."""
    attack: Attack
    pace: float | None = 2.0
    """Mean seconds between two events of the weather; None: none."""
    transform_every: int = 6
    least_runs: int = 1
    damage: int = 0
    """Lines that are cut out of segments, as a lying disk does."""
    hang: bool = False
    """Let the streamer stand still during every run, and then go on."""
    without: str | None = None


class Report(NamedTuple):
    """What a run did and what became of it."""

    plan: Plan
    verdict: Verdict
    tally: Tally
    runs: int
    failed_runs: int
    seconds: float


class Campaign:
    """One run in a folder of its own."""

    def __init__(self, plan: Plan, folder: Path, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._folder = folder
        self._tell = tell
        self._tally = Tally()
        self._exchange = Exchange(
            folder, products=PRODUCTS, trades_a_second=plan.rate // _FRAMES_A_TRADE, seed=plan.seed
        )
        self._warehouse = WarehouseServer(folder)
        self._proxy = Proxy(folder, self._warehouse.url)
        (streamer_port,) = free_ports(1)
        self._settings = {
            "PULSE_SOURCE": "simulated",
            "PULSE_HOME": str(folder),
            "PULSE_SPOOL_DIR": str(folder / "spool"),
            "PULSE_WAREHOUSE_URL": self._proxy.url,
            "PULSE_LOAD_REQUEST_TIMEOUT_SECONDS": str(int(HANG_SECONDS) - 1),
            "PULSE_SEAL_TIMEOUT_SECONDS": "2",
            "PULSE_LOAD_START_TIMEOUT_SECONDS": "5",
            "PULSE_LOAD_TIMEOUT_SECONDS": "60",
            "PULSE_DEAD_LETTERS_MAX": "10000",
        }
        feed = {
            "PULSE_FEED_URL": f"ws://127.0.0.1:{self._exchange.ws_port}",
            "PULSE_REST_URL": f"http://127.0.0.1:{self._exchange.rest_port}",
            "PULSE_PRODUCTS": ",".join(PRODUCTS),
            "PULSE_STREAMER_PORT": str(streamer_port),
            "PULSE_SEGMENT_MAX_BYTES": "400000",
            "PULSE_HEARTBEAT_TIMEOUT_SECONDS": "3",
            "PULSE_BACKOFF_MAX_SECONDS": "1",
        }
        streamer_settings = {name: value for name, value in self._settings.items() if "LOAD" not in name} | feed
        self._streamer = Streamer(folder, streamer_settings, streamer_port)
        self._scheduler = Scheduler(folder, self._settings, self._tally, seed=plan.seed, without=plan.without)
        self._runs = 0

    def run(self) -> Report:
        """Raises PartFailed when a part fails of itself."""
        began = time.monotonic()
        with self._started():
            # The marts are there before anything dies: one that is created is built from all of raw, which would hide
            # a window that was lost.
            # Without a safeguard it may fail by itself, for good too: what that leaves is for the judge.
            is_through = any(self._scheduler.run(transform=True) for _ in range(_FIRST_TRIES))
            if not is_through and self._plan.without is None:
                raise PartFailed(f"the first run, which nobody disturbs, fails: see the logs in {self._folder}")
            weather = None
            if self._plan.pace is not None:
                weather = Weather(
                    self._exchange,
                    self._streamer,
                    self._warehouse,
                    self._proxy,
                    self._tally,
                    seed=self._plan.seed,
                    pace=self._plan.pace,
                )
                weather.start()
            try:
                self._attack()
            finally:
                if weather is not None:
                    weather.calm()
            self._come_to_an_end()
            verdict = judge(self._evidence())
        return Report(
            self._plan, verdict, self._tally, self._runs, self._scheduler.failed_runs, time.monotonic() - began
        )

    @contextmanager
    def _started(self) -> Iterator[None]:
        parts: tuple[Part, ...] = (self._streamer, self._proxy, self._warehouse, self._exchange)
        # Its files may be edited while this runs.
        shutil.copytree(
            REPOSITORY / "include" / "dbt", self._folder / "dbt", ignore=shutil.ignore_patterns("target", "logs")
        )
        try:
            self._warehouse.start()
            self._proxy.start()
            self._exchange.start()
            Warehouse.connect(self._warehouse_config()).prepare()
            self._streamer.start()
            eventually(self._captures, "the streamer captures")
            yield
        finally:
            for part in parts:
                part.kill()

    def _captures(self) -> bool:
        status = self._streamer.look()
        return status is not None and status["durable_record_no"] > self._plan.rate

    def _attack(self) -> None:
        plan = self._plan
        until = time.monotonic() + 60 * plan.minutes
        self._scheduler.attack = plan.attack
        damage = plan.damage
        while (self._tally.killed < plan.kills or damage or self._runs < plan.least_runs) and time.monotonic() < until:
            if damage:
                damage -= self._damage()
            self._runs += 1
            self._streamer.hang(plan.hang)
            self._scheduler.run(transform=self._runs % plan.transform_every == 0)
            self._streamer.hang(False)
            self._tell(f"{self._tally.killed} kills in {self._runs} runs")
        self._scheduler.attack = PEACE

    def _damage(self) -> int:
        """Let the streamer die, and its last segment lose a line; whether it did."""
        self._streamer.look()
        if not self._streamer.kill():
            return 0
        self._tally.kill("streamer", "before its segment is damaged")
        done = cut_a_line(self._folder / "spool" / "active")
        if done:
            self._tally.fault("disk", "lost a line in the middle of a segment")
        self._streamer.start()
        eventually(self._captures, "the streamer captures")
        return done

    def _come_to_an_end(self) -> None:
        """What was captured reaches the marts and the archive; nobody disturbs it."""
        eventually(self._captures, "the streamer captures")
        self._streamer.look()
        self._streamer.stop()
        for _ in range(_LAST_RUNS):
            self._runs += 1
            if self._scheduler.run(transform=True) and self._is_empty():
                return
        self._tell(f"after {_LAST_RUNS} quiet runs there is still something on its way")

    def _is_empty(self) -> bool:
        spool = self._folder / "spool"
        return not any(
            path.stat().st_size
            for state in ("active", "sealing", "sealed", "loaded")
            for path in (spool / state).glob("*.ndjson")
        )

    def _evidence(self) -> evidence.Evidence:
        return evidence.gather(
            spool=self._folder / "spool",
            journals=self._exchange.journals,
            exchange_url=f"http://127.0.0.1:{self._exchange.rest_port}",
            durable=self._streamer.durable,
            warehouse=self._warehouse_config(),
        )

    def _warehouse_config(self) -> WarehouseConfig:
        """Past the proxy."""
        return load(WarehouseConfig, self._settings | {"PULSE_WAREHOUSE_URL": self._warehouse.url})
