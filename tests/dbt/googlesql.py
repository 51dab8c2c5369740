"""GoogleSQL by Google's own code: the analyzer and the reference evaluator of ZetaSQL, in this process."""

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from zetasql.api import CatalogBuilder, PreparedQuery, TableBuilder, create_table_content  # type: ignore[import-not-found]
from zetasql.api.type_factory import TypeFactory  # type: ignore[import-not-found]
from zetasql.core.local_service import ZetaSqlLocalService  # type: ignore[import-not-found]
from zetasql.types import (  # type: ignore[import-not-found]
    AnalyzeRequest,
    AnalyzerOptions,
    LanguageOptions,
    TypeKind,
    ZetaSQLBuiltinFunctionOptions,
)
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2  # type: ignore[import-not-found]

from include.warehouse.table_specs import Field

type Row = dict[str, Any]

KINDS = {
    "STRING": TypeKind.TYPE_STRING,
    "INTEGER": TypeKind.TYPE_INT64,
    "NUMERIC": TypeKind.TYPE_NUMERIC,
    "BOOLEAN": TypeKind.TYPE_BOOL,
    "DATE": TypeKind.TYPE_DATE,
    "TIMESTAMP": TypeKind.TYPE_TIMESTAMP,
    "JSON": TypeKind.TYPE_JSON,
}
SQL_NAMES = {
    TypeKind.TYPE_STRING: "string",
    TypeKind.TYPE_INT64: "int64",
    TypeKind.TYPE_NUMERIC: "numeric",
    TypeKind.TYPE_BOOL: "bool",
    TypeKind.TYPE_DATE: "date",
    TypeKind.TYPE_TIMESTAMP: "timestamp",
}


class GoogleSql:
    """Tables by their bare names, whatever dataset a statement names them in."""

    def __init__(self) -> None:
        language = LanguageOptions.maximum_features()
        self._options = AnalyzerOptions(language_options=language, default_timezone="UTC")
        self._functions = ZetaSQLBuiltinFunctionOptions(language_options=language)
        self._tables: dict[str, dict[str, Any]] = {}

    def declare(self, table: str, fields: Iterable[Field]) -> None:
        """A table as our schemas describe it; of repeated records only that they are an array."""
        array = TypeFactory.create_array_type(TypeFactory.create_simple_type(TypeKind.TYPE_INT64))
        self._tables[table] = {field.name: KINDS.get(field.type, array) for field in fields}

    def declare_result(self, table: str, sql: str) -> None:
        """A table or view of a query's columns. Raises the analyzer's error when the query is none."""
        statement = self._analyze(sql).resolved_statement.resolved_query_stmt_node
        self._tables[table] = {
            column.name: TypeKind(column.column.type.type_kind) for column in statement.output_column_list
        }

    def types(self, table: str) -> dict[str, str]:
        """Column → type, as in a contract."""
        return {name: SQL_NAMES[kind] for name, kind in self._tables[table].items()}

    def check(self, sql: str) -> None:
        """Raise the analyzer's error when this is no statement over the declared tables."""
        self._analyze(sql)

    def resolve(self, sql: str) -> Any:
        """The statement with every name resolved, as the analyzer's message. Raises as `check` does."""
        return self._analyze(sql).resolved_statement

    def rows(self, sql: str, given: Mapping[str, list[Row]]) -> list[Row]:
        """What the reference evaluator makes of a query over these rows of declared tables.

        Rows go in and come out as JSON, the way in which a decimal keeps all its digits.
        """
        inputs = "".join(f"{table} as ({self._from_json(table)}), " for table in given)
        whole = f"with {inputs}nothing as (select 1) select to_json_string(result) from ({_bare(sql)}) as result"
        catalog = CatalogBuilder("given").with_builtin_functions(self._functions)
        for table in given:
            catalog.add_table(TableBuilder(f"{table}__json").add_column("line", TypeKind.TYPE_STRING).build())
        content = {
            f"{table}__json": create_table_content([[json.dumps(row, default=str)] for row in rows])
            for table, rows in given.items()
        }
        query = (
            PreparedQuery.builder()
            .set_sql(whole)
            .set_analyzer_options(self._options)
            .set_catalog(catalog.build())
            .set_table_content(content)
            .prepare()
        )
        with query:
            result = query.execute()
        lines = (row.cell[0].string_value for row in result.content.table_data.row)
        return [json.loads(line, parse_float=Decimal) for line in lines]

    def _from_json(self, table: str) -> str:
        columns = ", ".join(
            f"cast(json_value(line, '$.{name}') as {SQL_NAMES[kind]}) as {name}"
            for name, kind in self._tables[table].items()
            if kind in SQL_NAMES
        )
        return f"select {columns} from {table}__json"

    def _analyze(self, sql: str) -> Any:
        """The analyzer's answer as it comes: to make zetasql's nodes of it takes longer than the analysis."""
        catalog = CatalogBuilder("warehouse").with_builtin_functions(self._functions)
        for table, columns in self._tables.items():
            builder = TableBuilder(table)
            for name, kind in columns.items():
                builder.add_column(name, kind)
            catalog.add_table(builder.build())
        request = AnalyzeRequest(
            sql_statement=_bare(sql).rstrip().rstrip(";"), options=self._options, simple_catalog=catalog.build()
        )
        return ZetaSqlLocalService.get_instance().wasm_client.call_grpc_func(
            "ZetaSqlLocalService_Analyze", request.to_proto(), local_service_pb2.AnalyzeResponse
        )


def _bare(sql: str) -> str:
    return re.sub(r"`[\w-]+`\.`\w+`\.`(\w+)`", r"\1", sql)
