"""The files in `schemas/` as typed objects: what tables there are and how each is laid out.

One JSON file a table or view; a view names the .sql file beside it, in which `{name}` stands for the full id of the
table `name`.
"""

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from include.config import WarehouseConfig

SCHEMAS = Path(__file__).parent / "schemas"


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A column, in the words of BigQuery's REST API."""

    name: str
    type: str
    description: str
    mode: Literal["NULLABLE", "REQUIRED", "REPEATED"] = "NULLABLE"
    fields: tuple["Field", ...] = ()


class Partitioning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Time partitioning; the expiration is a setting, named here by its field of WarehouseConfig."""

    type: Literal["HOUR", "DAY"]
    field: str
    expiration_days_setting: Literal["raw_expiration_days"]

    def expiration_days(self, config: WarehouseConfig) -> int:
        """After how many days a partition goes."""
        days: int = getattr(config, self.expiration_days_setting)
        return days


class TableSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table, or one view where `view` names its query's file."""

    dataset: Literal["raw", "ops"]
    table: str
    description: str
    schema: tuple[Field, ...] = ()
    partitioning: Partitioning | None = None
    require_partition_filter: bool = False
    clustering: tuple[str, ...] = ()
    view: str | None = None

    def view_query(self) -> str:
        """The view's query, placeholders not yet filled."""
        if self.view is None:
            raise ValueError(f"{self.dataset}.{self.table} is a table, not a view")
        return (SCHEMAS / self.view).read_text("utf-8")

    def fingerprint(self, config: WarehouseConfig) -> str:
        """16 hex digits that change with anything that shapes the table."""
        query = self.view_query() if self.view else None
        expiration_days = self.partitioning.expiration_days(config) if self.partitioning else None
        return hashlib.sha256(msgspec.json.encode([self, query, expiration_days])).hexdigest()[:16]


def load_specs() -> tuple[TableSpec, ...]:
    """Every table and view, tables first because views read them."""
    decoder = msgspec.json.Decoder(TableSpec)
    specs = [decoder.decode(path.read_bytes()) for path in sorted(SCHEMAS.glob("*.json"))]
    return tuple(sorted(specs, key=lambda spec: spec.view is not None))


def load_spec(table: str) -> TableSpec:
    """One table's specification. Raises FileNotFoundError for a name without a file."""
    return msgspec.json.decode((SCHEMAS / f"{table}.json").read_bytes(), type=TableSpec)
