"""Start local-bigquery with the fixes, on claimed ports."""

import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from local_bigquery.app import app
from local_bigquery.engine import database
from local_bigquery.grpc import server as storage_api
from local_bigquery.settings import settings

from emulator import fixes
from emulator.extensions import install_extensions
from include.config import EmulatorConfig


def serve(config: EmulatorConfig, folder: Path, listener: socket.socket) -> None:
    """Serve until a signal. Running jobs are finished before the process ends."""
    settings.bigquery_host = config.warehouse_host
    settings.bigquery_port = config.warehouse_port
    settings.grpc_port = config.warehouse_grpc_port
    settings.default_project_id = config.project
    settings.default_dataset_id = "main"  # always there, never listed: no stray dataset
    # DuckLake notes the data path in its catalogue and refuses another: by a relative one the folder can be moved.
    os.chdir(folder)
    settings.data_dir = Path()
    # It warns at every CREATE TABLE that DuckDB has no partitions and labels; the catalogue keeps them.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    install_extensions()
    fixes.apply()
    _bound_memory(config.warehouse_memory_max_bytes, folder / "spill")
    app.add_api_route("/healthz", _health, include_in_schema=False)
    with _storage_api(config.warehouse_host, config.warehouse_grpc_port):
        print(f"BigQuery REST API: http://{config.warehouse_host}:{config.warehouse_port}  data: {folder}", flush=True)  # noqa: T201
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def _bound_memory(max_bytes: int, spill: Path) -> None:
    """DuckDB takes four fifths of the machine by itself: fine for a database, not beside a whole stack.

    A process that was killed leaves what it had put aside; the folder is ours alone (claims.py).
    """
    shutil.rmtree(spill, ignore_errors=True)
    folder = str(spill).replace("'", "''")
    database.connection().execute(f"SET memory_limit = '{max_bytes // 2**20} MiB'; SET temp_directory = '{folder}'")


def _health() -> dict[str, str]:
    """200 when the database answers."""
    database.fetch("SELECT 1")
    return {"status": "ok"}


@contextmanager
def _storage_api(host: str, port: int) -> Iterator[None]:
    server, _ = storage_api.start(host, port)
    try:
        yield
    finally:
        server.stop(None).wait()
