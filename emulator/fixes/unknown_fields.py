"""NDJSON with a field that the schema lacks is refused, unless ignore_unknown_values is set.

Fault: such fields are dropped in silence.
BigQuery: rows with unknown fields are bad records; the error names the field. We are stricter: max_bad_records does not
excuse them, and a name in another case is unknown (the reader would lose the value).
Test: tests/emulator/test_loads.py. Remove when local-bigquery refuses unknown fields.
"""

from collections.abc import Callable, Iterator
from typing import Any

from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import load

from emulator.fixes.upstream import wrap


def apply() -> None:
    """Put the fix in place."""
    wrap(load, "_reader", ("cur", "files", "config", "fields"), _reader)


def _reader(inner: Callable[..., Any], cur: Any, files: str, config: Any, fields: list[Any]) -> Any:
    if config.sourceFormat == "NEWLINE_DELIMITED_JSON" and fields and not config.ignoreUnknownValues:
        source = f"(SELECT json AS value FROM read_ndjson_objects({files}))"  # noqa: S608
        for unknown in _unknown(cur, source, fields, ""):
            message = f"Error while reading data, error message: JSON parsing error: No such field: {unknown}."
            raise BigQueryError("invalid", message)
    return inner(cur, files, config, fields)


def _unknown(cur: Any, source: str, fields: list[Any], path: str) -> Iterator[str]:
    """Names of unknown fields, with the path to them, in the objects in `value` of source."""
    known = {field.name for field in fields}
    key_sets = cur.sql(f"SELECT DISTINCT json_keys(value) FROM {source} WHERE json_type(value) = 'OBJECT'").fetchall()  # noqa: S608
    found = {key for (keys,) in key_sets for key in keys}
    yield from (path + key for key in sorted(found - known))
    for field in fields:
        if field.fields:
            pointer = load.literal("$." + load.quote(field.name) + ("[*]" if field.mode == "REPEATED" else ""))
            value = f"json_extract(value, {pointer})"
            value = f"unnest({value})" if field.mode == "REPEATED" else value
            yield from _unknown(cur, f"(SELECT {value} AS value FROM {source})", field.fields, f"{path}{field.name}.")  # noqa: S608
