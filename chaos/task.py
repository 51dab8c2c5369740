"""One task of a run as a process of its own, forked from a server that has the product's modules loaded.

So it is with Airflow's executor, and it makes hundreds of tasks affordable. The process is told where to die, what to
do without, and how large a file may become (a full disk).
"""

import json
import logging
import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from chaos import points, safeguards
from chaos.points import ARCHIVE, CLOSE, LOAD, SEAL, WINDOW
from include import pipeline
from include.config import PipelineConfig, WarehouseConfig, load
from include.pipeline import archiving, batch_loading, loading, sealing, windowing
from include.spool import Spool
from include.warehouse import Warehouse, uploads
from include.warehouse.loader import LoadError
from include.warehouse.window import Window

LOAD_BATCH = "load_batch"
#: A batch of some seconds is uploaded in several chunks, so that there is something to interrupt.
_CHUNK_BYTES = 256 * 1024
_LOADED = (archiving, batch_loading, loading, sealing, windowing)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["chaos.task"])


class Order(NamedTuple):
    """A task. `point` and `call` say where it dies, `file_bytes` how large a file it may write."""

    step: str
    run_id: str
    settings: Mapping[str, str]
    outcome: Path
    log: Path
    argument: Any = None
    point: str | None = None
    call: int = 1
    file_bytes: int | None = None
    without: str | None = None


def start(order: Order) -> BaseProcess:
    """Start the process of a task."""
    order.outcome.unlink(missing_ok=True)
    process = _processes.Process(target=_run, args=(order,), daemon=True)
    process.start()
    return process


def _run(order: Order) -> None:
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {order.run_id} {order.step}: %(message)s", force=True)
    # Where the disk is full the log's own is not.
    logging.raiseExceptions = False
    uploads.CHUNK_BYTES = _CHUNK_BYTES
    if order.without:
        safeguards.remove(order.without)
    if order.point:
        points.arm(points.point_named(order.point), order.call)
    if order.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes, resource.RLIM_INFINITY))
    try:
        outcome = {"value": _STEPS[order.step](order)}
    except Exception as error:  # the scheduler decides, as Airflow does
        traceback.print_exc()
        is_final = isinstance(error, sealing.SegmentsQuarantined) or (
            isinstance(error, LoadError) and error.reaction.is_final
        )
        outcome = {"error": f"{type(error).__name__}: {error}", "is_final": is_final}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    unfinished = order.outcome.with_suffix(".tmp")
    unfinished.write_text(json.dumps(outcome), "utf-8")
    unfinished.rename(order.outcome)
    sys.stdout.flush()
    os._exit("error" in outcome)


def _seal(order: Order) -> Any:
    return pipeline.seal_segments(_spool(order), load(PipelineConfig, order.settings))


def _load(order: Order) -> Any:
    # A batch that is written down late can be loaded by no other task.
    at_most = None if order.without == safeguards.WRITE_AHEAD else 1
    config = load(PipelineConfig, order.settings)
    return pipeline.load_segments(_spool(order), _warehouse(order), config, run_id=order.run_id, at_most=at_most)


def _load_batch(order: Order) -> Any:
    config = load(PipelineConfig, order.settings)
    return pipeline.load_batch(_spool(order), _warehouse(order), config, order.argument, run_id=order.run_id)


def _open_window(order: Order) -> Any:
    window = pipeline.open_window(_warehouse(order))
    return None if window is None else {**window.to_dict(), "environment": window.to_environment()}


def _close_window(order: Order) -> Any:
    return pipeline.close_window(_warehouse(order), Window.from_dict(order.argument), run_id=order.run_id)


def _archive(order: Order) -> Any:
    return pipeline.archive_segments(_spool(order), _warehouse(order), load(PipelineConfig, order.settings))


def _spool(order: Order) -> Spool:
    config = load(PipelineConfig, order.settings)
    return Spool.open(config.resolved_spool_dir(), config.resolved_source(), create=True)


def _warehouse(order: Order) -> Warehouse:
    return Warehouse.connect(load(WarehouseConfig, order.settings))


_STEPS: Mapping[str, Callable[[Order], Any]] = {
    SEAL: _seal,
    LOAD: _load,
    LOAD_BATCH: _load_batch,
    WINDOW: _open_window,
    CLOSE: _close_window,
    ARCHIVE: _archive,
}
