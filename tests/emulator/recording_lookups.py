"""The warehouse, noting in the file named first how it has DuckDB list all tables or columns: a line a statement."""

import sys
from pathlib import Path
from typing import Any

from local_bigquery.engine import database

import emulator.__main__

_fetch = database.fetch


def fetch(sql: str, params: list[Any] | None = None) -> Any:
    """Beneath the fixes, which take it for local-bigquery's own."""
    if "duckdb_tables()" in sql or "duckdb_columns()" in sql:
        with _notes.open("a", encoding="utf-8") as notes:
            notes.write(f"{sql} {params}\n")
    return _fetch(sql, params)


if __name__ == "__main__":
    _notes = Path(sys.argv.pop(1))
    database.fetch = fetch
    sys.exit(emulator.__main__.main())
