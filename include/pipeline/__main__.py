"""`python -m include.pipeline`: the pipeline from the command line, without Airflow. Outcomes are JSON, one a line."""

import argparse
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from google.api_core import exceptions

from include.config import ConfigError, PipelineConfig, WarehouseConfig, load
from include.pipeline.backfilling import BackfillRefused, backfill_column
from include.pipeline.loader_lock import LoaderBusy
from include.pipeline.loading import load_segments
from include.pipeline.redriving import RedriveRefused, export_letters, list_letters, redrive
from include.pipeline.replaying import ReplayError
from include.pipeline.sealing import SegmentsQuarantined, seal_segments
from include.pipeline.upkeep_commands import FindingsLeft, add_commands
from include.pipeline.windowing import open_window
from include.spool import Spool, SpoolError
from include.warehouse.batch_reader import SegmentChanged
from include.warehouse.ledger import LedgerError
from include.warehouse.loader import LoadError
from include.warehouse.tables import SchemaMismatch
from include.warehouse.warehouse import Warehouse

EXIT_FAILED = 1
EXIT_USAGE = 2


class BatchesStopped(Exception):
    """Batches that a person has to look at; the others were loaded."""


_REFUSALS = (
    BatchesStopped,
    SpoolError,
    SegmentsQuarantined,
    LoaderBusy,
    FindingsLeft,
    ReplayError,
    RedriveRefused,
    BackfillRefused,
    LoadError,
    LedgerError,
    SegmentChanged,
    SchemaMismatch,
    exceptions.GoogleAPIError,
    OSError,
)


def main(arguments: list[str] | None = None) -> int:
    """0: done; 1: a step failed, and running again goes on from there, or fsck has findings; 2: a setting is wrong."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        for outcome in options.run(options):
            text = outcome if isinstance(outcome, str) else msgspec.json.encode(outcome).decode()
            sys.stdout.write(text + "\n")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except _REFUSALS as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return EXIT_FAILED
    return 0


def run_once() -> dict[str, object]:
    """Seal and load once; the outcomes by step, and the open window or None."""
    config = load(PipelineConfig)
    spool, warehouse = _spool(), _warehouse()
    run_id = f"manual__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    sealed = seal_segments(spool, config)
    loaded = load_segments(spool, warehouse, config, run_id=run_id)
    if loaded["faults"]:
        raise BatchesStopped("; ".join(loaded["faults"]))
    window = open_window(warehouse)
    return {"seal_segments": sealed, "load_segments": loaded, "window": window and window.to_dict()}


def _run_once(_: argparse.Namespace) -> Iterable[object]:
    return [run_once()]


def _redrive(options: argparse.Namespace) -> Iterable[object]:
    if options.export:
        return [export_letters(_warehouse(), options.export)]
    if options.load:
        return [redrive(_spool(), _warehouse(), options.load)]
    return list_letters(_warehouse())


def _backfill(options: argparse.Namespace) -> Iterable[object]:
    return [backfill_column(_warehouse(), options.column, options.begin, options.end)]


def _spool() -> Spool:
    config = load(PipelineConfig)
    return Spool.open(config.resolved_spool_dir(), config.resolved_source(), create=True)


def _warehouse() -> Warehouse:
    return Warehouse.connect(load(WarehouseConfig))


def _instant(text: str) -> datetime:
    """RFC 3339; without an offset it is UTC."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run-once", help="seal_segments and load_segments, then print outcomes and the open window as JSON"
    )
    run.set_defaults(run=_run_once)
    letters = commands.add_parser("redrive", help="list, export, and load again after correction, dead letters")
    what = letters.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="print every open dead letter, without its line")
    what.add_argument("--export", type=Path, metavar="FILE", help="write the open dead letters as NDJSON")
    what.add_argument("--load", type=Path, metavar="FILE", help="send the corrected frames back through the spool")
    letters.set_defaults(run=_redrive)
    backfill = commands.add_parser("backfill-column", help="fill a new column of raw.messages from extra")
    backfill.add_argument("column", help="its name in include/warehouse/schemas/messages.json")
    backfill.add_argument("--begin", type=_instant, required=True, help="first hour, RFC 3339, UTC")
    backfill.add_argument("--end", type=_instant, required=True, help="the hour after the last")
    backfill.set_defaults(run=_backfill)
    add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
