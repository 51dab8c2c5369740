"""`SET (a, b) = (SELECT AS STRUCT …)` assigns the fields of the struct by position.

Fault: the whole struct is cast to each variable's type: dbt's dynamic insert_overwrite and microbatch fail.
BigQuery: each variable gets its field.
Test: tests/emulator/test_scripts.py. Remove when local-bigquery assigns structs.
"""

from collections.abc import Callable
from typing import Any

import sqlglot
from local_bigquery.sql import script
from local_bigquery.sql.dialect import BigQueryDialect
from sqlglot import exp

from emulator.fixes.upstream import wrap


def apply() -> None:
    """Put the fix in place."""
    wrap(script.Interpreter, "set", ("self", "statement"), _set)


def _set(inner: Callable[..., Any], self: Any, statement: Any) -> None:
    (item,) = sqlglot.parse_one(statement.text, dialect=BigQueryDialect).expressions
    target, value = item.this.this, item.this.expression
    select = value.unnest() if isinstance(value, exp.Subquery) else None
    if not isinstance(select, exp.Select) or select.args.get("kind") != "STRUCT":
        inner(self, statement)
        return
    columns = target.expressions if isinstance(target, exp.Tuple) else [target.unnest()]
    select.set("kind", None)
    self.into(select, [column.name for column in columns])
