"""Simultaneous statements wait for each other instead of failing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ROUNDS = 6


def _together(warehouse: Any, *work: Callable[[int], Any]) -> None:
    """Run each piece of work ROUNDS times, all at once; raises the first error, and nothing is tried again."""
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(piece, number) for number in range(ROUNDS) for piece in work]
        for future in futures:
            future.result()


def _run(warehouse: Any, sql: str) -> Any:
    return list(warehouse.client.query(sql, retry=None, job_retry=None).result(retry=None, job_retry=None))


def test_loads_queries_and_merges(warehouse: Any, dataset: str) -> None:
    """Loads into one table, queries over it and merges into four others all succeed, and each takes effect once."""
    warehouse.rows(f"create table {dataset}.raw (a int64)")
    for number in range(4):
        warehouse.rows(f"create table {dataset}.m{number} (a int64, n int64)")

    def load(_: int) -> None:
        warehouse.load(f"{dataset}.raw", [{"a": value} for value in range(100)])

    def query(_: int) -> None:
        ((count,),) = (tuple(row) for row in _run(warehouse, f"select count(*) from {dataset}.raw"))
        assert count % 100 == 0

    def merge_into(number: int) -> Callable[[int], Any]:
        statement = (
            f"merge {dataset}.m{number} t using (select a, 1 n from unnest(generate_array(1, 50)) a) s on t.a = s.a "
            "when matched then update set n = t.n + 1 when not matched then insert row"
        )
        return lambda _: _run(warehouse, statement)

    _together(warehouse, load, query, query, *map(merge_into, range(4)))

    assert warehouse.rows(f"select count(*) from {dataset}.raw") == [(100 * ROUNDS,)]
    for number in range(4):
        assert warehouse.rows(f"select count(*), sum(n) from {dataset}.m{number}") == [(50, 50 * ROUNDS)]


def test_one_table(warehouse: Any, dataset: str) -> None:
    """Simultaneous updates and inserts of one table queue up."""
    warehouse.rows(f"create table {dataset}.t as select 0 n")
    _together(
        warehouse,
        lambda _: _run(warehouse, f"update {dataset}.t set n = n + 1 where n < 1000"),
        lambda number: _run(warehouse, f"insert into {dataset}.t values ({1000 + number})"),
    )
    assert warehouse.rows(f"select min(n), count(*) from {dataset}.t") == [(ROUNDS, ROUNDS + 1)]


def test_replaced_table(warehouse: Any, dataset: str) -> None:
    """Of simultaneous CREATE OR REPLACE of one table or view all succeed and one stays."""
    _together(
        warehouse,
        lambda number: _run(warehouse, f"create or replace table {dataset}.t as select {number} n"),
        lambda number: _run(warehouse, f"create or replace view {dataset}.v as select {number} n"),
        lambda _: _run(warehouse, f"create table if not exists {dataset}.once (a int64)"),
    )
    assert warehouse.rows(f"select count(*) from {dataset}.t") == [(1,)]
    assert warehouse.rows(f"select count(*) from {dataset}.v") == [(1,)]
