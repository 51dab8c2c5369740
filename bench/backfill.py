"""`python -m bench.backfill`: a simulated day refetched under fire, beside the schedule; then a product that was never
streamed, a rebuild and a replay. Prints figures as JSON; fails when the marts are not the truth.

The same driver as tests/e2e/test_backfill.py, with a whole day: yesterday, of three products.
"""

import argparse
import contextlib
import json
import logging
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.e2e import backfilling
from tests.e2e.backfilling import NEVER_STREAMED, STREAMED, Backfill, Freshness, differences, incomplete_minutes, text
from tests.e2e.harness import RunningStack, eventually, running

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

log = logging.getLogger("bench.backfill")


def main() -> int:
    """0 when the marts equal the truth after all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=4.0, help="trades a second of the market (4: 345,600 a day)")
    parser.add_argument("--hours", type=int, default=24, help="hours of yesterday to refetch, from midnight on")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    history = int((datetime.now(UTC) - midnight) / HOUR) + 26
    settings = backfilling.settings(trades_a_second=options.rate, history_hours=history, schedule_seconds=120)
    with tempfile.TemporaryDirectory(prefix="pulse-bench-backfill-") as folder:
        home = Path(folder) / "home"
        backfilling.make_past(home, settings)
        with contextlib.contextmanager(running)(home, "SOURCE=simulated", **settings) as up:
            figures = _measure(up, midnight - DAY, midnight - DAY + options.hours * HOUR)
    sys.stdout.write(json.dumps(figures, indent=2, default=str) + "\n")
    return 1 if figures["differences"] else 0


def _measure(stack: RunningStack, start: datetime, end: datetime) -> dict[str, Any]:
    eventually(lambda: not stack.unfinished_runs(), within=900, what="the first scheduled runs are over")
    window = {"window_start": text(start), "window_end": text(end)}
    figures: dict[str, Any] = {"window": f"{text(start)} to {text(end)}"}
    log.info("freshness without a backfill")
    with Freshness(stack).watched() as quiet:
        time.sleep(150)
    figures["freshness_seconds_quiet"] = quiet.figures()
    log.info("dry run")
    dry = Backfill(stack, mode="refetch", products=list(STREAMED), dry_run=True, **window).report(within=200)
    figures["dry_run"] = {name: dry[name] for name in ("asked", "requests", "spool_bytes", "seconds_at_least")}
    log.info("refetch: %s", figures["dry_run"])
    with Freshness(stack).watched() as busy:
        figures["refetch"] = _refetch_under_fire(stack, window, int(dry["requests"]))
    figures["freshness_seconds_refetch"] = busy.figures()
    figures["differences"] = sum(len(differences(stack, product, start, end)) for product in STREAMED)
    figures["incomplete_minutes"] = sum(incomplete_minutes(stack, product, start, end) for product in STREAMED)
    log.info("%s", figures)
    log.info("a product that was never streamed")
    hours = {"window_start": text(start), "window_end": text(start + 6 * HOUR)}
    figures["never_streamed"] = Backfill(stack, mode="refetch", products=[NEVER_STREAMED], **hours).report(within=900)
    figures["differences"] += len(differences(stack, NEVER_STREAMED, start, start + 6 * HOUR))
    log.info("nothing is left to fetch")
    figures["again"] = Backfill(stack, mode="refetch", products=list(STREAMED), **window).report(within=400)
    log.info("rebuild of a damaged day")
    before = backfilling.marts_of(stack, start, end)
    backfilling.damage(stack, end)
    with Freshness(stack).watched() as rebuilding:
        figures["rebuild"] = Backfill(stack, mode="rebuild", **window).report(within=900)
    figures["freshness_seconds_rebuild"] = rebuilding.figures()
    after = backfilling.marts_of(stack, start, end)
    figures["differences"] += sum(before[mart] != after[mart] for mart in before)
    log.info("replay of the refetch into other datasets")
    now = datetime.now(UTC)
    figures["replay"] = Backfill(
        stack, mode="replay", dataset_prefix="again", window_start=text(now - 2 * HOUR), window_end=text(now)
    ).report(within=1200)
    figures["differences"] += _differs_again(stack, start, end)
    return figures


def _refetch_under_fire(stack: RunningStack, window: dict[str, str], requests: int) -> dict[str, Any]:
    """Killed three times (twice the task, once its supervisor), in storms of 429 and 500."""
    backfill = Backfill(stack, mode="refetch", products=list(STREAMED), **window)
    for kill, share in enumerate((0.15, 0.4, 0.7)):
        eventually(
            lambda share=share: backfilling.fetched_pages(stack) >= share * requests or backfill.state() in {"failed"},
            within=900,
            what=f"{share:.0%} of the pages are fetched",
        )
        backfilling.storm(stack, 429, 500, probability=0.25, seconds=10)
        pid = backfilling.kill_a_lane(stack, backfill, supervisor=kill == 1)
        log.info("killed %d at %d requests", pid, backfilling.fetched_pages(stack))
    report = backfill.report(within=1500)
    tries = sum(task["try_number"] for task in backfill.tasks("refetch.refetch_trades"))
    report["tries_of_lanes"] = tries
    report["requests_a_second"] = round(report["requests"] / max(0.1, report["fetching_seconds"]), 2)
    return report


def _differs_again(stack: RunningStack, start: datetime, end: datetime) -> int:
    """Whether the marts of the replay differ in anything but when and by which batch a record was loaded."""
    original = backfilling.refetched_rows(stack, start, end)
    again = backfilling.refetched_rows(stack, start, end, "again_sim_marts")
    log.info("%d rows, and %d by the replay", len(original), len(again))
    return int(original != again or not again)


if __name__ == "__main__":
    sys.exit(main())
