"""The commands that keep an installation in order: fsck, retain, replay."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from include.config import ConfigError, PipelineConfig, WarehouseConfig, load
from include.pipeline.findings import Finding
from include.pipeline.fsck import check
from include.pipeline.replaying import replay
from include.pipeline.retention import apply_retention
from include.spool import Spool
from include.warehouse.warehouse import Warehouse


class FindingsLeft(Exception):
    """Something is not as it should be, and was not repaired."""


def add_commands(commands: Any) -> None:
    """Add them to a parser's subparsers; each sets `run`, which yields its outcome or, as text, lines to print."""
    fsck = commands.add_parser(
        "fsck", help="compare spool, archive, ledger and raw.messages; exit status 0 clean, 1 findings, 2 usage"
    )
    fsck.add_argument("--repair", action="store_true", help="do the repairs that are safe")
    fsck.add_argument("--deep", action="store_true", help="hash every segment")
    fsck.add_argument("--days", type=_days, default=2, help="look at the batches of so many days (default 2; 0: all)")
    fsck.add_argument("--json", action="store_true", help="print one JSON object")
    fsck.set_defaults(run=_fsck)
    retain = commands.add_parser(
        "retain", help="delete from the archive what PULSE_ARCHIVE_MAX_DAYS and PULSE_ARCHIVE_MAX_BYTES exclude"
    )
    retain.set_defaults(run=_retain)
    again = commands.add_parser(
        "replay", help="load hours of the archive into datasets of another prefix, and compare the records"
    )
    again.add_argument("--from", dest="begin", type=_instant, required=True, help="first receipt, RFC 3339, UTC")
    again.add_argument("--to", dest="end", type=_instant, required=True, help="exclusive")
    again.add_argument("--dataset-prefix", required=True, help="as PULSE_DATASET_PREFIX")
    again.add_argument("--dry-run", action="store_true", help="only say what would be loaded")
    again.set_defaults(run=_replay)


def _fsck(options: argparse.Namespace) -> Iterator[object]:
    spool, warehouse, config = _installation()
    report = check(spool, warehouse, config, days=options.days, deep=options.deep, repair=options.repair)
    if options.json:
        yield report.to_dict()
    else:
        for finding in report.repaired:
            yield f"repaired: {finding.kind} {finding.subject}\n    {finding.message}"
        yield from map(_explain, report.left)
        yield f"{len(report.left)} findings, {len(report.repaired)} repaired"
    if report.left:
        raise FindingsLeft(f"{len(report.left)} findings. Hint: docs/operations.md")


def _explain(finding: Finding) -> str:
    who = "--repair would" if finding.repair else "to do by hand"
    return f"{finding.kind} {finding.subject}\n    {finding.message}\n    {who}: {finding.advice}"


def _retain(_: argparse.Namespace) -> Iterator[object]:
    spool, warehouse, config = _installation()
    yield apply_retention(spool, warehouse, config)


def _replay(options: argparse.Namespace) -> Iterator[object]:
    spool, warehouse, config = _installation()
    try:
        target = msgspec.convert(
            msgspec.structs.asdict(warehouse.config) | {"dataset_prefix": options.dataset_prefix}, WarehouseConfig
        )
    except msgspec.ValidationError as error:
        raise ConfigError(f"--dataset-prefix {options.dataset_prefix!r}: {error}") from None
    yield replay(
        spool,
        warehouse,
        Warehouse.connect(target),
        config,
        received_from=options.begin,
        received_to=options.end,
        run_id=f"replay__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        dry_run=options.dry_run,
    )


def _installation() -> tuple[Spool, Warehouse, PipelineConfig]:
    config = load(PipelineConfig)
    spool = Spool.open(config.resolved_spool_dir(), config.resolved_source(), create=False)
    return spool, Warehouse.connect(load(WarehouseConfig)), config


def _instant(text: str) -> datetime:
    """RFC 3339; without an offset it is UTC."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _days(text: str) -> int:
    days = int(text)
    if days < 0:
        raise ValueError(text)
    return days
