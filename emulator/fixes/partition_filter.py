"""require_partition_filter asks for what BigQuery asks for.

Fault: MERGE is refused whatever its ON says, a view cannot be created over such a table, and UPDATE, DELETE and a
query through a view need no filter.
BigQuery: MERGE needs a predicate on the target's partition column that compares it with a constant, in ON or in a WHEN
clause; UPDATE and DELETE need a filter in WHERE; creating a view needs none, querying it does.
Here a query through a view must mention the partition column, under the name that the view gives it, in some WHERE.
Test: tests/emulator/test_partition_filter.py. Remove when local-bigquery does the same.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from local_bigquery.api import tables as tables_api
from local_bigquery.catalog import metadata, names
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import merge
from local_bigquery.models import Table
from local_bigquery.sql.rules import tables as rules
from local_bigquery.sql.translate import parse
from sqlglot import exp

from emulator.fixes.upstream import wrap

#: Upstream's words, and BigQuery's.
REFUSAL = "without a filter over column(s)"
COMPARISONS = (exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)

type Reference = tuple[str, str, str]

#: What the statement being translated need not filter: the target of a merge, checked already, or ALL in a view.
_exempt: ContextVar[Reference | str | None] = ContextVar("exempt", default=None)
ALL = "all"


@dataclass(frozen=True)
class Requirement:
    """A table that needs a filter over `field`, which the query may know under any of `names` (lower case)."""

    table: Reference
    field: str
    names: frozenset[str]

    def refuse(self) -> BigQueryError:
        """The error of a query without the filter."""
        return BigQueryError(
            "invalidQuery",
            f"Cannot query over table '{'.'.join(self.table)}' {REFUSAL} '{self.field}' "
            "that can be used for partition elimination",
        )


def apply() -> None:
    """Put the fix in place."""
    wrap(rules, "_check", ("tree", "table", "is_target"), _check)
    wrap(tables_api, "translate_view", ("project_id", "dataset_id", "sql"), _translate_view)
    wrap(merge, "run", ("cur", "tree", "context"), _merge)


def _check(inner: Callable[..., Any], tree: Any, table: Any, is_target: bool) -> None:
    """`table` is one of the tables of the statement `tree`, qualified already."""
    reference = (table.catalog, table.db, table.name)
    exempt = _exempt.get() in {ALL, reference} or (isinstance(tree, exp.Create) and tree.args.get("kind") == "VIEW")
    try:
        inner(tree, table, is_target)
    except BigQueryError as error:
        if REFUSAL not in error.message or not exempt:
            raise
    if exempt or (is_target and not isinstance(tree, exp.Update | exp.Delete)):
        return
    for requirement in _requirements(reference):
        if not requirement.names & _filtered(tree):
            raise requirement.refuse()


def _translate_view(inner: Callable[..., Any], *args: Any) -> Any:
    token = _exempt.set(ALL)
    try:
        return inner(*args)
    finally:
        _exempt.reset(token)


def _merge(inner: Callable[..., Any], cur: Any, tree: Any, context: Any) -> Any:
    target = tree.this
    reference = names.reference(target, context.project_id, context.dataset_id)
    for requirement in _requirements(reference):
        conditions = [tree.args["on"], *(when.args.get("condition") for when in tree.args["whens"].expressions)]
        if not any(_prunes(condition, requirement, target.alias_or_name) for condition in conditions if condition):
            raise requirement.refuse()
    token = _exempt.set(reference)
    try:
        return inner(cur, tree, context)
    finally:
        _exempt.reset(token)


def _prunes(condition: Any, requirement: Requirement, alias: str) -> bool:
    for predicate in condition.find_all(*COMPARISONS):
        columns = list(predicate.find_all(exp.Column))
        if columns and all(
            column.name.casefold() in requirement.names and column.table in {"", alias} for column in columns
        ):
            return True
    return False


def _requirements(reference: Reference) -> Iterator[Requirement]:
    stored = metadata.load(Table, *reference)
    if stored is None:
        return
    if stored.requirePartitionFilter:
        field = (stored.timePartitioning and stored.timePartitioning.field) or "_PARTITIONTIME"
        yield Requirement(reference, field, frozenset({field.casefold(), "_partitiondate"}))
    elif stored.view:
        yield from _requirements_of_view(stored.view.query, reference)


def _requirements_of_view(sql: str, view: Reference) -> Iterator[Requirement]:
    (query,) = parse(sql)
    ctes = {cte.alias_or_name for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if not table.db and table.name in ctes:
            continue
        for requirement in _requirements(names.reference(table, *view[:2])):
            if not requirement.names & _filtered(query):
                yield _renamed(requirement, query)


def _renamed(requirement: Requirement, query: Any) -> Requirement:
    """With the names that the query gives to the column."""
    aliases = {
        alias.alias.casefold()
        for alias in query.find_all(exp.Alias)
        if isinstance(alias.this, exp.Column) and alias.this.name.casefold() in requirement.names
    }
    return Requirement(requirement.table, requirement.field, requirement.names | aliases)


def _filtered(tree: Any) -> set[str]:
    return {column.name.casefold() for where in tree.find_all(exp.Where) for column in where.find_all(exp.Column)}
