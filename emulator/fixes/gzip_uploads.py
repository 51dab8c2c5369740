"""Gzip-compressed NDJSON and CSV can be uploaded.

Fault: an upload is saved without a suffix, so the reader takes compressed bytes for text and refuses them.
BigQuery: compression is recognised by the content.
Test: tests/emulator/test_loads.py. Remove when local-bigquery loads a compressed upload.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_bigquery.jobs import load, runner

from emulator.fixes.upstream import wrap

GZIP_MAGIC = b"\x1f\x8b"


def apply() -> None:
    """Put the fix in place."""
    wrap(load, "run", ("cur", "config", "upload"), _run)
    runner.HANDLERS["load"] = load.run


def _run(inner: Callable[..., Any], cur: Any, config: Any, upload: str | None) -> Any:
    if upload is None or not _is_gzip(Path(upload)):
        return inner(cur, config, upload)
    named = Path(upload + ".gz")
    named.hardlink_to(upload)
    try:
        return inner(cur, config, str(named))
    finally:
        named.unlink()


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
