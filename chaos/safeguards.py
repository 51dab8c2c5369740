"""The safeguards of exactly once, each taken away from outside: what remains must be found out by the judge."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from include.pipeline import batch_loading
from include.spool import envelope, sealer
from include.spool.envelope import EnvelopeChecker, split
from include.warehouse import uploads
from include.warehouse.batches import Batch
from include.warehouse.ledger import Ledger

WRITE_AHEAD = "write-ahead"
ADOPTION = "409-adoption"
LOCK_HAND_OVER = "lock-hand-over"
CONTIGUITY = "contiguity-check"
CLOSE_AFTER_SUCCESS = "window-close-after-success"


def _without_write_ahead() -> None:
    """The batch is written down when its job has ended, not before it is submitted."""
    compose, mark_loaded = Ledger.compose, Ledger.mark_loaded
    runs: dict[str, str] = {}

    def remember(_: Ledger, batch: Batch, *, dag_run_id: str) -> None:
        runs[batch.batch_id] = dag_run_id

    def write_late(self: Ledger, batch: Batch, **result: Any) -> None:
        compose(self, batch, dag_run_id=runs[batch.batch_id])
        mark_loaded(self, batch, **result)

    _replace(Ledger, "compose", remember)
    _replace(Ledger, "mark_loaded", write_late)


def _without_adoption() -> None:
    """A job that exists is not adopted: the batch is submitted again under an id of its own."""
    submit = uploads.submit

    def submit_anew(client: Any, resource: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        resource["jobReference"]["jobId"] += f"_{secrets.token_hex(4)}"
        return submit(client, resource, *args, **kwargs)

    _replace(uploads, "submit", submit_anew)
    _replace(batch_loading, "adopt", lambda *_, **__: None)


def _without_lock_hand_over() -> None:
    """The sealer does not wait until the writer lets go of a segment."""
    _replace(sealer, "_wait_for_lock", lambda *_: None)


def _without_contiguity() -> None:
    """The sealer takes any record_no for the next one."""
    frame_of_unusual = EnvelopeChecker._frame_of_unusual

    def jump(self: EnvelopeChecker, line: bytes) -> bytes:
        self.record_no = split(line)[0].record_no - 1
        return frame_of_unusual(self, line)

    _replace(envelope.EnvelopeChecker, "_frame_of_unusual", jump)


def _nothing() -> None:
    """The order of the steps is the scheduler's, which closes the window whatever became of dbt."""


_REMOVALS: Mapping[str, Callable[[], None]] = {
    WRITE_AHEAD: _without_write_ahead,
    ADOPTION: _without_adoption,
    LOCK_HAND_OVER: _without_lock_hand_over,
    CONTIGUITY: _without_contiguity,
    CLOSE_AFTER_SUCCESS: _nothing,
}
SAFEGUARDS = tuple(_REMOVALS)


def remove(safeguard: str) -> None:
    """Take a safeguard away from this process. Raises KeyError."""
    _REMOVALS[safeguard]()


def _replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name}: this safeguard is built otherwise now")
    setattr(owner, name, function)
