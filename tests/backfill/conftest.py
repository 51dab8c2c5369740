"""A fake exchange with a past, a spool of the test's own, and requests."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.config import BackfillConfig
from include.pipeline.backfill.plan import make_plan
from include.pipeline.backfill.request import BackfillRequest, Mode
from include.pipeline.backfill.search import IdRange
from include.pipeline.backfill.state import Piece, RefetchPlan, RunFolder
from include.spool import Spool
from tests.simulator.running import UNLIMITED, Process
from tests.warehouse.spools import new_spool

PRODUCTS = ("BTC-USD", "ETH-USD")
HISTORY_HOURS = 2
RUN = "manual__2026-07-07T00:00:00+00:00"


@dataclass
class Exchange:
    """A simulator whose trades are all past."""

    process: Process

    @property
    def url(self) -> str:
        """Its REST API."""
        return f"http://127.0.0.1:{self.process.rest_port}"

    def truth(self, product_id: str) -> list[dict[str, Any]]:
        """Every trade, by id."""
        with urllib.request.urlopen(f"{self.url}/truth/trades?product_id={product_id}", timeout=30) as reply:
            return [json.loads(line) for line in reply]

    def inject(self, **fault: Any) -> None:
        """Post a fault of REST."""
        body = json.dumps({"kind": "rest_error", **fault}).encode()
        request = urllib.request.Request(
            f"{self.url}/control/faults", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()

    def clear(self) -> None:
        """Take back all faults."""
        request = urllib.request.Request(f"{self.url}/control/faults", method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/healthz", timeout=2).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Some 14,000 trades of two products, and no new ones but those of bursts."""
    folder = tmp_path_factory.mktemp("exchange")
    products = {"simulator_products": ",".join(PRODUCTS)}
    past = Process(folder, simulator_rate=2, simulator_history_hours=HISTORY_HOURS, **products, **UNLIMITED)
    _until_answering(past)
    past.kill()
    process = Process(folder, simulator_rate=0, **products, **UNLIMITED)
    _until_answering(process)
    yield Exchange(process)
    process.kill()


def _until_answering(process: Process) -> None:
    process.start()
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while not _answers(f"http://127.0.0.1:{process.rest_port}"):
        assert process.is_running, "the simulator ended at once"
        assert datetime.now(UTC) < deadline, "the simulator does not answer"


@pytest.fixture
def exchange(past: Exchange) -> Iterator[Exchange]:
    """The exchange without faults."""
    yield past
    past.clear()


@pytest.fixture
def config(exchange: Exchange) -> BackfillConfig:
    """Asks this exchange, as fast as it can."""
    return BackfillConfig(rest_url=exchange.url, backfill_requests_per_second="2000")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Empty."""
    return new_spool(tmp_path)


def request_of(**fields: Any) -> BackfillRequest:
    """A refetch of everything there is."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "mode": Mode.REFETCH,
        "start": now - timedelta(hours=HISTORY_HOURS + 1),
        "end": now,
        "products": PRODUCTS,
        "concurrency": 1,
    }
    return BackfillRequest(**values | fields)


def planned(spool: Spool, config: BackfillConfig, *pieces: Piece, lanes: int = 1, run_id: str = RUN) -> RefetchPlan:
    """A plan for these pieces, written down."""
    ranges = [IdRange(piece.product_id, piece.first, piece.last, piece.first, piece.last, 120) for piece in pieces]
    plan = make_plan(ranges, 0, pieces, request_of(concurrency=lanes), config)
    RunFolder(spool, run_id).write_plan(plan)
    return plan
