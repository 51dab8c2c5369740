"""What the product relies on and local-bigquery does right: if an upgrade breaks it, it shows here."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.cloud.bigquery import SchemaField, Table, TimePartitioning

DAY_MS = 24 * 60 * 60 * 1000


def test_hourly_table(warehouse: Any, dataset: str) -> None:
    """A table partitioned by the hour comes back as it was declared."""
    declared = Table(
        f"{warehouse.client.project}.{dataset}.raw",
        [
            SchemaField("received_at", "TIMESTAMP", "REQUIRED", description="when it came"),
            SchemaField("type", "STRING"),
            SchemaField("detail", "JSON"),
            SchemaField("record_no", "INT64", "REQUIRED"),
        ],
    )
    declared.time_partitioning = TimePartitioning("HOUR", field="received_at", expiration_ms=60 * DAY_MS)
    declared.clustering_fields = ["type", "record_no"]
    declared.require_partition_filter = True
    declared.description, declared.labels = "messages", {"owner": "pulse"}
    warehouse.client.create_table(declared)
    found = warehouse.client.get_table(declared)

    assert [(f.name, f.field_type, f.mode) for f in found.schema] == [
        ("received_at", "TIMESTAMP", "REQUIRED"),
        ("type", "STRING", "NULLABLE"),
        ("detail", "JSON", "NULLABLE"),
        ("record_no", "INTEGER", "REQUIRED"),
    ]
    assert found.schema[0].description == "when it came"
    assert found.time_partitioning == declared.time_partitioning
    assert found.require_partition_filter
    assert (found.clustering_fields, found.description) == (declared.clustering_fields, declared.description)
    assert found.labels == declared.labels


def test_json(warehouse: Any, dataset: str) -> None:
    """JSON columns keep nested arrays and objects, and the JSON functions read them."""
    warehouse.rows(f"create table {dataset}.t (changes json, detail json)")
    detail = {"code": "x", "nested": {"list": [1, 2]}}
    warehouse.load(f"{dataset}.t", [{"changes": [["buy", "1.0", "2.00"]], "detail": detail}])

    assert warehouse.rows(f"select changes, detail from {dataset}.t") == [([["buy", "1.0", "2.00"]], detail)]
    assert warehouse.rows(
        "select json_value(change, '$[0]'), cast(json_value(change, '$[2]') as numeric), json_value(detail.code), "
        f"json_value(detail, '$.nested.list[1]') from {dataset}.t, unnest(json_query_array(changes)) change"
    ) == [("buy", Decimal(2), "x", "2")]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("safe_cast('2026-07-07T22:58:16.123456Z' as timestamp)", datetime(2026, 7, 7, 22, 58, 16, 123456, UTC)),
        ("safe_cast('not a time' as timestamp)", None),
        ("safe_cast('12345678901234567890.123456789' as numeric)", Decimal("12345678901234567890.123456789")),
        ("safe_cast('1.2.3' as numeric)", None),
        ("cast('0.0000000015' as numeric)", Decimal("0.000000002")),
        ("cast('-0.0000000015' as numeric)", Decimal("-0.000000002")),
        ("cast(numeric '63537.11' * numeric '0.00012345' as numeric)", Decimal("7.84365623")),
        ("cast(numeric '0.00005' * numeric '0.00001' as numeric)", Decimal("0.000000001")),
        ("cast(numeric '-0.00005' * numeric '0.00001' as numeric)", Decimal("-0.000000001")),
    ],
)
def test_casts(warehouse: Any, expression: str, value: Any) -> None:
    """Times keep their microseconds; decimals are exact and round half away from zero at the ninth place."""
    assert warehouse.rows(f"select {expression}") == [(value,)]


def test_row_count_of_a_merged_table(warehouse: Any, dataset: str) -> None:
    """numRows is exact after rows were replaced and deleted, as the status view shows it."""
    warehouse.rows(f"create table {dataset}.counted as select a, 0 n from unnest([1, 2, 3]) a")
    for _ in range(3):
        warehouse.rows(
            f"merge {dataset}.counted t using (select 1 a) s on t.a = s.a when matched then update set n = t.n + 1"
        )
    warehouse.rows(f"delete from {dataset}.counted where a = 2")

    assert warehouse.client.get_table(f"{dataset}.counted").num_rows == 2


def test_row_count_of_an_emptied_table(warehouse: Any, dataset: str) -> None:
    """numRows is 0, and counts anew, after a table that had lost rows lost all of them."""
    warehouse.rows(f"create table {dataset}.emptied as select a from unnest([1, 2, 3]) a")
    warehouse.rows(f"delete from {dataset}.emptied where a = 2")
    warehouse.rows(f"truncate table {dataset}.emptied")
    assert warehouse.client.get_table(f"{dataset}.emptied").num_rows == 0

    warehouse.rows(f"insert into {dataset}.emptied values (1)")
    assert warehouse.client.get_table(f"{dataset}.emptied").num_rows == 1


def test_row_count_of_a_result(warehouse: Any) -> None:
    """The anonymous table that holds a query's result has metadata, too: dbt reads it after each test."""
    job = warehouse.client.query("select * from unnest([1, 2, 3])")
    job.result()

    assert warehouse.client.get_table(job.destination).num_rows == 3
