"""The queries of docs/analysis.md: what the page shows is what is run."""

import re
from pathlib import Path
from typing import Any

from include.warehouse.warehouse import Warehouse

PAGE = Path(__file__).parents[1] / "docs" / "analysis.md"
_BLOCK = re.compile(r"^```sql\n-- (?P<name>\w+)\n(?P<sql>.*?)^```$", re.MULTILINE | re.DOTALL)
_DATASET = "pulse_marts."

type Row = dict[str, Any]


def queries() -> dict[str, str]:
    """Name → SQL, as an analyst would type it."""
    return {found["name"]: found["sql"] for found in _BLOCK.finditer(PAGE.read_text("utf-8"))}


def rows(warehouse: Warehouse, name: str) -> list[Row]:
    """The result of one of them, from this warehouse's marts. Raises KeyError for a name that is not on the page."""
    sql = queries()[name].replace(_DATASET, f"{warehouse.config.datasets().marts}.")
    return [dict(row) for row in warehouse.client.query_and_wait(sql)]
