"""What a resolved statement reads of each table: the literals that bound its columns, on which BigQuery prunes."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

type Bounds = tuple[dt.date | dt.datetime, dt.date | dt.datetime]


class Read(NamedTuple):
    """One mention of a table in a statement, and the bounds of its columns that have some."""

    table: str
    bounds: dict[str, Bounds]


def reads(statement: Any) -> list[Read]:
    """Every table a statement reads or merges into; `statement` is the analyzer's message.

    A bound is a BETWEEN of a column and two literals that every row has to meet: one of the terms that AND joins in a
    WHERE, or in the ON of a MERGE. What is bounded in any other way counts as unbounded.
    """
    messages = list(_walk(statement))
    bounds: dict[int, Bounds] = {}
    for message in messages:
        name = message.DESCRIPTOR.name
        if name in ("ResolvedFilterScanProto", "ResolvedMergeStmtProto"):
            condition = message.filter_expr if name == "ResolvedFilterScanProto" else message.merge_expr
            bounds |= dict(_bounds(condition))
    scans = [message for message in messages if message.DESCRIPTOR.name == "ResolvedTableScanProto"]
    return [Read(scan.table.name, _of_columns(scan.parent.column_list, bounds)) for scan in scans]


def _of_columns(columns: Iterable[Any], bounds: Mapping[int, Bounds]) -> dict[str, Bounds]:
    return {column.name: bounds[column.column_id] for column in columns if column.column_id in bounds}


def _walk(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for member in value if field.is_repeated else [value]:
                yield from _walk(member)


def _bounds(condition: Any) -> Iterator[tuple[int, Bounds]]:
    expression = _unwrapped(condition)
    if expression.DESCRIPTOR.name != "ResolvedFunctionCallProto":
        return
    function, arguments = expression.parent.function.name, expression.parent.argument_list
    if function == "ZetaSQL:$and":
        for argument in arguments:
            yield from _bounds(argument)
    elif function == "ZetaSQL:$between":
        column, low, high = (_unwrapped(argument) for argument in arguments)
        if column.DESCRIPTOR.name == "ResolvedColumnRefProto" and _is_literal(low) and _is_literal(high):
            yield column.column.column_id, (_value(low), _value(high))


def _unwrapped(expression: Any) -> Any:
    while expression.DESCRIPTOR.name.startswith("AnyResolved"):
        expression = getattr(expression, expression.WhichOneof("node"))
    return expression


def _is_literal(expression: Any) -> bool:
    return bool(expression.DESCRIPTOR.name == "ResolvedLiteralProto")


def _value(literal: Any) -> dt.date | dt.datetime:
    value = literal.value.value
    if value.HasField("date_value"):
        return (_EPOCH + dt.timedelta(days=value.date_value)).date()
    timestamp = value.timestamp_value
    return _EPOCH + dt.timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)
