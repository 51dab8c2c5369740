"""The steps of a run, in their order: plain functions over spool and warehouse, free of Airflow.

    seal_segments → load_segments → open_window → (dbt) → close_window → archive_segments

Each can be repeated at any time, also after it was killed, and returns a small outcome that JSON can hold. A step's
module is imported at its first use: most bring the BigQuery client, which a DAG file must not import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.pipeline.archiving import archive_segments
    from include.pipeline.loading import load_batch, load_segments
    from include.pipeline.sealing import seal_segments
    from include.pipeline.windowing import close_window, open_window

__all__ = ["archive_segments", "close_window", "load_batch", "load_segments", "open_window", "seal_segments"]

_MODULES = {
    "archive_segments": "archiving",
    "close_window": "windowing",
    "load_batch": "loading",
    "load_segments": "loading",
    "open_window": "windowing",
    "seal_segments": "sealing",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
