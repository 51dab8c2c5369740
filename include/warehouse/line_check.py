"""Which lines BigQuery refuses for certain, found without asking it.

Only what no reading of BigQuery's documentation lets pass counts as a problem: a line that is loaded must never be
taken for a bad one. What else BigQuery dislikes is found by trial jobs (`bad_lines`).
Source: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from include.warehouse.table_specs import TableSpec

_INT64 = range(-(2**63), 2**63)
_INTEGER_TEXT = re.compile(r"[+-]?\d+")
_EXAMPLE_LENGTH = 60

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class LineCheck:
    """Checks lines against the columns of one table."""

    def __init__(self, spec: TableSpec) -> None:
        self._required = [field.name for field in spec.schema if field.mode == "REQUIRED"]
        self._checks = {field.name: _CHECKS[field.type] for field in spec.schema if field.type in _CHECKS}

    def problem(self, line: bytes) -> str | None:
        """What is wrong with a line as it is uploaded, the first thing found; None when nothing is."""
        try:
            members = _decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            return f"not a JSON object: {error}"
        for name in self._required:
            if members.get(name) is None:
                return f"{name}: missing, the column is REQUIRED"
        for name, value in members.items():
            check = self._checks.get(name)
            if check is not None and value is not None and not check(value):
                return f"{name}: {_example(value)} does not fit the column's type"
        return None


def _is_text(value: Any) -> bool:
    """BigQuery turns other scalars into text."""
    return not isinstance(value, dict | list)


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return bool(_INTEGER_TEXT.fullmatch(value)) and int(value) in _INT64
    if isinstance(value, float):
        return value.is_integer() and int(value) in _INT64
    return isinstance(value, int) and value in _INT64


def _is_timestamp(value: Any) -> bool:
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "STRING": _is_text,
    "INTEGER": _is_integer,
    "TIMESTAMP": _is_timestamp,
}


def _example(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _EXAMPLE_LENGTH else text[:_EXAMPLE_LENGTH] + "…"
