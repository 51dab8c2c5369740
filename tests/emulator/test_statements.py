"""Statements of all kinds pass through the fixes unharmed."""

from typing import Any

import pytest

SETUP = "create table {d}.t as select 1 a, 'x' b"


@pytest.mark.parametrize(
    ("statement", "check", "expected"),
    [
        ("insert into {d}.t values (2, 'y')", "select count(*) from {d}.t", 2),
        ("truncate table {d}.t", "select count(*) from {d}.t", 0),
        ("alter table {d}.t add column c int64", "select count(c) from {d}.t", 0),
        ("alter table {d}.t rename to u", "select a from {d}.u", 1),
        ("create table {d}.u like {d}.t", "select count(*) from {d}.u", 0),
        ("create table {d}.u clone {d}.t", "select a from {d}.u", 1),
        ("create snapshot table {d}.u clone {d}.t", "select a from {d}.u", 1),
        ("create view {d}.u as select a + 1 n from {d}.t", "select n from {d}.u", 2),
        ("create function {d}.twice(x int64) as (x * 2)", "select {d}.twice(a) from {d}.t", 2),
        ("create temp table u as select 1 n; insert into u values (2)", "select a from {d}.t", 1),
        (
            "begin transaction; insert {d}.t values (2, 'y'); insert {d}.t values (3, 'z'); commit transaction",
            "select count(*) from {d}.t",
            3,
        ),
        ("begin transaction; delete {d}.t where true; rollback transaction", "select count(*) from {d}.t", 1),
        ("drop table {d}.t", "select count(*) from {d}.INFORMATION_SCHEMA.TABLES", 0),
        ("create schema {d}_more", "select count(*) from {d}_more.INFORMATION_SCHEMA.TABLES", 0),
    ],
)
def test_effect(warehouse: Any, dataset: str, statement: str, check: str, expected: int) -> None:
    """Each has its effect, seen by the next statement."""
    warehouse.rows(SETUP.format(d=dataset))
    warehouse.rows(statement.format(d=dataset))
    assert warehouse.rows(check.format(d=dataset)) == [(expected,)]


@pytest.mark.parametrize(
    ("statement", "counts"),
    [
        ("insert into {d}.t values (2, 'y'), (3, 'z')", (2, None)),
        ("update {d}.t set b = 'y' where a = 1", (1, None)),
        ("delete {d}.t where a = 1", (1, None)),
        (
            "merge {d}.t t using (select 1 a union all select 2) s on t.a = s.a "
            "when matched then update set b = 'm' when not matched then insert (a, b) values (s.a, 'n')",
            (2, (1, 1, 0)),
        ),
    ],
)
def test_counts(warehouse: Any, dataset: str, statement: str, counts: tuple[int, tuple[int, int, int] | None]) -> None:
    """DML reports the rows it changed."""
    warehouse.rows(SETUP.format(d=dataset))
    job = warehouse.client.query(statement.format(d=dataset))
    job.result()
    affected, merged = counts

    assert job.num_dml_affected_rows == affected
    if merged:
        stats = job.dml_stats
        assert (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count) == merged


def test_dry_run(warehouse: Any, dataset: str) -> None:
    """A dry run changes nothing."""
    from google.cloud.bigquery import QueryJobConfig

    warehouse.rows(SETUP.format(d=dataset))
    warehouse.client.query(f"delete {dataset}.t where true", job_config=QueryJobConfig(dry_run=True))
    assert warehouse.rows(f"select count(*) from {dataset}.t") == [(1,)]
