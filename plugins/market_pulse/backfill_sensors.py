"""Waiting for market_pulse to bring what a backfill gave it into the marts."""

# mypy: disallow-subclassing-any=False

import logging
from typing import Any

from airflow.sdk import BaseSensorOperator

log = logging.getLogger(__name__)


class _InMarts(BaseSensorOperator):
    """Looks every ten seconds and occupies nothing in between."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"poke_interval": 10, "timeout": 6 * 3600, "mode": "reschedule"} | options)

    def poke(self, context: Any) -> bool:
        """Whether all is in the marts."""
        waiting = self.waiting(str(context["run_id"]))
        log.info("segments on their way: %s", waiting or "none, all is in the marts")
        return not waiting

    def waiting(self, run_id: str) -> dict[str, int]:
        """How many segments of the run are where, on their way; empty when all is in the marts."""
        raise NotImplementedError


class AwaitMarts(_InMarts):
    """For what was fetched: nothing of it is left between active/ and loaded/."""

    def waiting(self, run_id: str) -> dict[str, int]:
        from include.pipeline.backfill.report import sessions_of
        from include.pipeline.backfill.waiting import on_their_way
        from market_pulse.tasks import _spool

        spool, _ = _spool()
        return on_their_way(spool, sessions_of(spool, run_id))


class AwaitReplay(_InMarts):
    """For what was put back: the ledger calls it transformed, and it has left sealed/ and loaded/."""

    def waiting(self, run_id: str) -> dict[str, int]:
        from include.pipeline.backfill.replay import not_transformed, restored
        from market_pulse.tasks import _spool, _warehouse

        spool, _ = _spool()
        return not_transformed(spool, _warehouse(), restored(spool, run_id))
