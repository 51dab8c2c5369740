"""DuckDB's extensions, from the installed wheels: nothing is downloaded."""

from duckdb_extensions import import_extension

#: What local-bigquery loads: time zones, the table format, GEOGRAPHY.
EXTENSIONS = ("icu", "ducklake", "spatial")


def install_extensions() -> None:
    """Copy the extensions into the user's DuckDB folder (~/.duckdb), unless they are there."""
    for name in EXTENSIONS:
        import_extension(name)
