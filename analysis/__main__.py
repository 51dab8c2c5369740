"""`python -m analysis`: fill a local warehouse, run the queries of docs/analysis.md, draw its pictures."""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from analysis import charts, local_warehouse, past, recording
from analysis.page import rows
from include.config import WarehouseConfig
from include.spool import Spool
from include.warehouse.warehouse import Warehouse

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_DAY = int(datetime(2026, 7, 6, tzinfo=UTC).timestamp()) * _SECOND

#: The day of the pictures: away from 09:12 to 09:57 and from 17:30 to 17:34.
SIMULATED_DAY = past.Past(
    start=_DAY,
    end=_DAY + 24 * _HOUR,
    outages=(
        (_DAY + 9 * _HOUR + 12 * 60 * _SECOND, _DAY + 9 * _HOUR + 57 * 60 * _SECOND),
        (_DAY + 17 * _HOUR + 30 * 60 * _SECOND, _DAY + 17 * _HOUR + 34 * 60 * _SECOND),
    ),
)


def main() -> None:
    """Exits with an error's text when a step fails; what was drawn until then stays."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument(
        "--recording", type=Path, help="NDJSON, one frame a line; without it only the simulated day is drawn"
    )
    parser.add_argument("--images", type=Path, default=local_warehouse.ROOT / "docs" / "images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="analysis-") as name:
        folder = Path(name)
        with local_warehouse.running(folder / "warehouse") as url:
            if options.recording:
                _draw_recorded_minute(options.recording, url, folder, options.images)
            _draw_simulated_day(url, folder, options.images)


def _draw_recorded_minute(file: Path, url: str, folder: Path, images: Path) -> None:
    warehouse = Warehouse.connect(WarehouseConfig(warehouse_url=url, dataset_prefix="replayed"))
    spool = Spool.open(folder / "replayed", warehouse.config.resolved_source(), create=True)
    recording.record(file, spool)
    local_warehouse.run(spool, warehouse, folder / "dbt-replayed")
    minute, seconds = rows(warehouse, "recorded_minute"), rows(warehouse, "recorded_seconds")
    charts.draw_recorded_minute(minute, seconds, images / "analysis-recorded-minute.png")
    _say(f"{len(minute)} trades of {file.name} drawn")


def _draw_simulated_day(url: str, folder: Path, images: Path) -> None:
    warehouse = Warehouse.connect(WarehouseConfig(warehouse_url=url, dataset_prefix="simulated"))
    spool = Spool.open(folder / "simulated", warehouse.config.resolved_source(), create=True)
    past.record(SIMULATED_DAY, folder / "truth.sqlite3", spool)
    _say("a day traded and written down")
    local_warehouse.run(spool, warehouse, folder / "dbt-simulated")
    day, volume = rows(warehouse, "simulated_day"), rows(warehouse, "simulated_volume")
    coverage = rows(warehouse, "simulated_coverage")
    charts.draw_simulated_day(day, volume, coverage, images / "analysis-simulated-day.png")
    charts.draw_market_hours(rows(warehouse, "market_hours"), images / "analysis-market-hours.png")
    _say(f"{len(day)} minutes drawn; missing: {sum(hour['missing_count'] for hour in coverage)} trades of BTC-USD")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
