"""Load jobs treat schemas and uploads as BigQuery does."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud.bigquery import SchemaField, Table

NESTED = [
    SchemaField("name", "STRING", "REQUIRED"),
    SchemaField("one", "RECORD", fields=[SchemaField("x", "INT64")]),
    SchemaField("many", "RECORD", "REPEATED", fields=[SchemaField("y", "INT64")]),
]


@pytest.fixture
def table(warehouse: Any, dataset: str) -> str:
    """A table with records and a REQUIRED column."""
    warehouse.client.create_table(Table(f"{warehouse.client.project}.{dataset}.t", NESTED))
    return f"{dataset}.t"


def test_gzip_upload(warehouse: Any, table: str) -> None:
    """A compressed upload is recognised by its content."""
    body = gzip.compress(b'{"name": "a"}\n{"name": "b"}')
    assert warehouse.upload(table, body).output_rows == 2


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"name": "a", "nome": "a"}, "nome"),
        ({"name": "a", "one": {"x": 1, "z": 2}}, "one.z"),
        ({"name": "a", "many": [{"y": 1}, {"y": 1, "z": 2}]}, "many.z"),
    ],
)
@pytest.mark.parametrize("with_schema", [True, False])
def test_unknown_field(warehouse: Any, table: str, row: dict[str, Any], field: str, with_schema: bool) -> None:
    """A field that the schema lacks fails the load by name; with ignore_unknown_values it is dropped."""
    schema = {"schema": NESTED} if with_schema else {}
    with pytest.raises(BadRequest, match=rf"No such field: {field}\."):
        warehouse.load(table, [{"name": "good"}, row], **schema)
    assert warehouse.rows(f"select * from {table}") == []

    assert warehouse.load(table, [row], ignore_unknown_values=True, **schema).output_rows == 1


def test_field_case(warehouse: Any, table: str) -> None:
    """A field in another case is refused, where BigQuery takes it: it would be lost."""
    with pytest.raises(BadRequest, match="No such field: NAME"):
        warehouse.load(table, [{"name": "a", "NAME": "b"}])


def test_json_column_takes_anything(warehouse: Any, dataset: str) -> None:
    """What a JSON column holds are no fields."""
    warehouse.rows(f"create table {dataset}.j (detail json)")
    warehouse.load(f"{dataset}.j", [{"detail": {"anything": {"goes": [1]}}}, {"detail": [["buy", "1.0", "2.0"]]}])
    assert warehouse.rows(f"select json_value(detail, '$[0][1]') from {dataset}.j order by 1") == [(None,), ("1.0",)]


def test_schema_of_the_table(warehouse: Any, dataset: str) -> None:
    """Without a schema of its own a load takes the table's: text stays as it was sent, decimals are exact."""
    warehouse.rows(f"create table {dataset}.t (time string, price numeric, size string)")
    row = {"time": "2026-07-07T22:58:16.123456Z", "price": "12345678901234.123456789", "size": "0.10"}
    warehouse.load(f"{dataset}.t", [row])
    assert warehouse.rows(f"select * from {dataset}.t") == [
        ("2026-07-07T22:58:16.123456Z", Decimal("12345678901234.123456789"), "0.10")
    ]


@pytest.mark.parametrize("disposition", ["WRITE_APPEND", "WRITE_TRUNCATE"])
def test_required(warehouse: Any, table: str, disposition: str) -> None:
    """A REQUIRED column stays REQUIRED under any disposition; a row without it fails the load and changes nothing."""
    for _ in range(2):
        warehouse.load(table, [{"name": "a"}], write_disposition=disposition)
    before = warehouse.rows(f"select name from {table}")
    with pytest.raises(BadRequest):
        warehouse.load(table, [{"name": "b"}, {"one": {"x": 1}}], write_disposition=disposition)

    assert warehouse.rows(f"select name from {table}") == before
    assert warehouse.client.get_table(f"{warehouse.client.project}.{table}").schema[0].mode == "REQUIRED"


def test_malformed_line(warehouse: Any, table: str) -> None:
    """A line that is not JSON fails the load and changes nothing."""
    with pytest.raises(BadRequest, match="Malformed JSON"):
        warehouse.upload(table, json.dumps({"name": "a"}).encode() + b'\n{"name"')
    assert warehouse.rows(f"select * from {table}") == []
