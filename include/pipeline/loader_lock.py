"""One composer a spool, and one loader a batch, at a time.

The kernel drops a lock when its process ends, however it ends. The ledger alone would also keep two runs from loading
twice, but only the locks keep them from failing on one another's steps.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from include.spool import Spool

#: An underscore cannot begin a streamer id, whose locks lie in the same folder.
LOCK_NAME = "_loader.lock"


class LoaderBusy(Exception):
    """Another process composes batches from this spool."""


class BatchBusy(LoaderBusy):
    """Another process loads this batch."""


@contextlib.contextmanager
def loader_lock(spool: Spool) -> Iterator[None]:
    """Hold the spool's loader lock, under which batches are composed; raises LoaderBusy when another process has it."""
    with spool_lock(spool, LOCK_NAME, LoaderBusy):
        yield


@contextlib.contextmanager
def spool_lock(spool: Spool, name: str, busy: type[LoaderBusy]) -> Iterator[None]:
    """Hold a lock of this name; raises `busy` at once when another process has it."""
    with _lock(spool.root / "locks" / name, busy):
        yield


@contextlib.contextmanager
def batch_lock(spool: Spool, batch_id: str) -> Iterator[None]:
    """Hold a batch's lock, under which it is loaded and its segments are moved; raises BatchBusy.

    Who gets it has to ask the ledger how far the batch has come, unless it composed the batch under the loader lock.
    """
    path = spool.root / "locks" / f"_batch.{batch_id}.lock"
    with _lock(path, BatchBusy):
        yield
        # Whoever waits for the old file, or makes a new one, finds the batch closed in the ledger.
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(path: Path, busy: type[LoaderBusy]) -> Iterator[None]:
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy(
                f"{path} is held: another run is at it. Hint: wait for it; a task that was given up but still runs "
                f"holds it too (find it with: fuser {path})"
            ) from error
        yield
