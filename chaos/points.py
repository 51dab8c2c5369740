"""The kill points: where, inside the product's own code, a process ends itself by kill -9.

A point names a function of the product; the process that is to die gets it wrapped from outside. The product knows
nothing of it.
"""

import functools
import importlib
import os
import signal
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, NoReturn


class Point(NamedTuple):
    """Where a step dies: at the `most`th call at the latest, the caller draws which."""

    name: str
    step: str
    target: str
    """module:qualified name, patched where the caller looks it up."""
    moment: Literal["before", "after"]
    most: int = 1


_DURABLE = "include.spool.durable"
_LEDGER = "include.warehouse.ledger:Ledger"
_UPLOADS = "include.warehouse.uploads"
_LETTERS = "include.warehouse.dead_letters:DeadLetters"
_BATCH_LOADING = "include.pipeline.batch_loading"
_SPOOL = "include.spool.spool:Spool"

SEAL, LOAD, WINDOW, DBT, CLOSE, ARCHIVE = "seal", "load", "window", "dbt", "close", "archive"
STEPS = (SEAL, LOAD, WINDOW, DBT, CLOSE, ARCHIVE)
STREAMER = "streamer"

POINTS = (
    Point("before a rename", SEAL, f"{_DURABLE}:rename_durable", "before", 6),
    Point("after a rename", SEAL, f"{_DURABLE}:rename_durable", "after", 6),
    Point("rotated", SEAL, f"{_SPOOL}.rotate_all", "after"),
    Point("torn tail kept, not cut", SEAL, f"{_DURABLE}:truncate", "before"),
    Point("torn tail cut", SEAL, f"{_DURABLE}:truncate", "after"),
    Point("validated, before the manifest", SEAL, "include.spool.manifest:Manifest.write", "before", 2),
    Point("after the manifest", SEAL, "include.spool.manifest:Manifest.write", "after", 2),
    Point("a segment sealed", SEAL, "include.spool.sealer:seal", "after", 2),
    Point("before the batch record", LOAD, f"{_LEDGER}.compose", "before"),
    Point("after the batch record", LOAD, f"{_LEDGER}.compose", "after"),
    Point("upload opened", LOAD, f"{_UPLOADS}:_Upload.send", "before"),
    Point("during the upload", LOAD, f"{_UPLOADS}:_Upload.send", "after", 2),
    Point("submitted, before the reply", LOAD, f"{_UPLOADS}:submit", "after"),
    Point("job done, before the ledger", LOAD, "include.warehouse.loader:finished", "after"),
    Point("before the next attempt", LOAD, f"{_LEDGER}.next_attempt", "before"),
    Point("after the next attempt", LOAD, f"{_LEDGER}.next_attempt", "after"),
    Point("bad lines copied", LOAD, f"{_BATCH_LOADING}:keep_refused_lines", "after"),
    Point("before the dead letters", LOAD, f"{_LETTERS}.add_refused", "before"),
    Point("after the dead letters", LOAD, f"{_LETTERS}.add_refused", "after"),
    Point("undecodable listed", LOAD, f"{_LETTERS}.add_undecodable", "after"),
    Point("drift listed", LOAD, "include.warehouse.drift:DriftLog.add", "after"),
    Point("before the ledger's loaded", LOAD, f"{_LEDGER}.mark_loaded", "before"),
    Point("after the ledger's loaded", LOAD, f"{_LEDGER}.mark_loaded", "after"),
    Point("manifest linked, segment not moved", LOAD, f"{_DURABLE}:link_durable", "after", 3),
    Point("a segment moved to loaded", LOAD, f"{_SPOOL}.mark_loaded", "after", 3),
    Point("window read", WINDOW, f"{_LEDGER}.loaded_not_transformed", "after"),
    Point("before the window is closed", CLOSE, f"{_LEDGER}.mark_transformed", "before"),
    Point("after the window is closed", CLOSE, f"{_LEDGER}.mark_transformed", "after"),
    Point("stored in the archive", ARCHIVE, "include.spool.archive:FolderStore.put", "after", 4),
    Point("proven in the archive", ARCHIVE, "include.spool.archive:Archive._holds", "after", 2),
    Point("plain segment or manifest deleted", ARCHIVE, f"{_DURABLE}:remove", "after", 4),
)

#: What a streamer dies at; it runs as `python -m chaos.streamer`.
STREAMER_POINTS = (
    Point("before a segment is born", STREAMER, f"{_DURABLE}:rename_durable", "before", 3),
    Point("a segment is born", STREAMER, f"{_DURABLE}:rename_durable", "after", 3),
    Point("half of a batch written", STREAMER, "include.spool.writer:_Segment.append", "before", 40),
    Point("written, not synced", STREAMER, "include.spool.writer:_Segment.append", "after", 40),
    Point("synced", STREAMER, "include.spool.writer:_Segment.sync", "after", 20),
    Point("rotated by itself", STREAMER, f"{_SPOOL}.rotate", "after"),
)

#: Moments of dbt, which is a program of its own: the line of its log at which it is killed.
DBT_POINTS = (
    Point("at its start", DBT, "Running with dbt", "before"),
    Point("in a merge", DBT, r"START .*fct_trades", "after"),
    Point("after the merge", DBT, r"(OK|ERROR) .*fct_trades", "after"),
)


def point_named(name: str) -> Point:
    """Raises KeyError."""
    return {point.name: point for point in (*POINTS, *STREAMER_POINTS, *DBT_POINTS)}[name]


def arm(point: Point, call: int) -> None:
    """Let this process die at a point, at the call with this number (from 1)."""
    owner, name = owner_of(point.target)
    inner = getattr(owner, name)
    calls = 0

    @functools.wraps(inner)
    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < call:
            return inner(*args, **kwargs)
        if point.moment == "after":
            inner(*args, **kwargs)
        elif point.name == "half of a batch written":
            _write_half(inner, *args)
        die()

    setattr(owner, name, dying)


def owner_of(target: str) -> tuple[Any, str]:
    """The module or class that holds a function, and the function's name there."""
    module, _, path = target.partition(":")
    *parents, name = path.split(".")
    return functools.reduce(getattr, parents, importlib.import_module(module)), name


def die() -> NoReturn:
    """kill -9, by oneself."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable: SIGKILL cannot be survived")


def _write_half(append: Callable[[Any, bytes], None], segment: Any, lines: bytes) -> None:
    """What the kernel leaves when a process dies in a long write: any part of it."""
    append(segment, bytes(lines[: len(lines) // 2]))
