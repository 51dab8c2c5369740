"""Checks spool, archive, ledger and raw.messages against each other, and repairs what can be repaired without a doubt.

Safe are moves that the ledger proves, and the removal of what dead processes left and nobody reads. All else is told,
with what to do; docs/operations.md says more.
"""

import contextlib
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from include.config import PipelineConfig
from include.pipeline.archives import archive_lock, open_archive
from include.pipeline.findings import Finding
from include.pipeline.loader_lock import loader_lock
from include.pipeline.spool_checks import SpoolChecks
from include.pipeline.warehouse_checks import WarehouseChecks
from include.spool import Spool, SpoolError
from include.warehouse.audit import Audit
from include.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)


class Report(NamedTuple):
    """What was found and is left, and what was repaired."""

    left: list[Finding]
    repaired: list[Finding]

    @property
    def for_a_person(self) -> list[Finding]:
        """What `repair` would not touch."""
        return [finding for finding in self.left if finding.repair is None]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "findings": [finding.to_dict() for finding in self.left],
            "repaired": [finding.to_dict() for finding in self.repaired],
        }


def check(
    spool: Spool,
    warehouse: Warehouse,
    config: PipelineConfig,
    *,
    days: int = 2,
    deep: bool = False,
    repair: bool = False,
    settle_seconds: float = 5,
) -> Report:
    """Look at all files, and at the batches of the last `days` (0: of all time); `deep` hashes every segment.

    Steps may be running: what the first look finds counts only if a second one, `settle_seconds` later, finds it too.
    Repairs are done under the locks of loader and archive. Raises LoaderBusy (only for a repair), SpoolError, OSError,
    and what the client library raises.
    """
    with contextlib.ExitStack() as locks:
        if repair:
            locks.enter_context(loader_lock(spool))
            locks.enter_context(archive_lock(spool))
        found = _look(spool, warehouse, config, days=days, deep=deep)
        if found:
            time.sleep(settle_seconds)
            first = {finding.key for finding in found}
            found = [f for f in _look(spool, warehouse, config, days=days, deep=deep) if f.key in first]
        repaired = [finding for finding in found if repair and _repair(finding)]
    return Report([finding for finding in found if finding not in repaired], repaired)


def _look(spool: Spool, warehouse: Warehouse, config: PipelineConfig, *, days: int, deep: bool) -> list[Finding]:
    now = datetime.now(UTC)
    since = now - timedelta(days=days) if days else datetime(2000, 1, 1, tzinfo=UTC)
    files = SpoolChecks(spool, open_archive(spool, config), warehouse.ledger, deep=deep)
    audit = Audit(warehouse.statements)
    rows = WarehouseChecks(spool, warehouse, config, files, audit, since=since, now=now)
    return sorted((*files.findings(), *rows.findings()), key=lambda finding: finding.key)


def _repair(finding: Finding) -> bool:
    if finding.repair is None:
        return False
    try:
        finding.repair()
    except (SpoolError, FileNotFoundError) as error:  # it moved on, or its streamer lives
        log.warning("%s %s: not repaired: %s", finding.kind, finding.subject, error)
        return False
    log.info("%s %s: repaired", finding.kind, finding.subject)
    return True
