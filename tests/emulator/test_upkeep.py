"""What grows with each job is cut back."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

CURRENT_FILES = "select count(*) from ducklake_data_file where end_snapshot is null"
JOBS_BETWEEN, QUERY_JOBS_KEPT = 200, 1000


@pytest.fixture
def loaded(own_warehouse: Any) -> Any:
    """A running warehouse with a table `d.t` that ten loads made."""
    own_warehouse.start()
    own_warehouse.client.create_dataset("d")
    own_warehouse.rows("create table d.t (a int64)")
    for number in range(10):
        own_warehouse.load("d.t", [{"a": number}])
    return own_warehouse


def _stored(warehouse: Any, file: str, sql: str) -> list[list[Any]]:
    """What a stopped warehouse keeps in one of its DuckDB files."""
    script = "import duckdb, json, sys; print(json.dumps(duckdb.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))"
    command = [warehouse.python, "-c", script, str(warehouse.folder / file), sql]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[list[Any]] = json.loads(answer)
    return found


def test_files_are_merged_at_start(loaded: Any) -> None:
    """The small files of many loads become one, with all their rows; a file left by a killed process goes."""
    lake = f"{loaded.client.project}.ducklake"
    loaded.stop()
    assert _stored(loaded, lake, CURRENT_FILES) == [[10]]
    left = Path(loaded.folder / loaded.client.project / "d" / "t" / "left.parquet")
    left.write_bytes(b"torn")

    loaded.start()
    assert loaded.rows("select count(*), sum(a) from d.t") == [(10, 45)]
    assert not left.exists()
    loaded.stop()
    assert _stored(loaded, lake, CURRENT_FILES) == [[1]]


def test_files_are_merged_after_many_jobs(loaded: Any) -> None:
    """The same happens in a quiet moment of a running warehouse, and no job notices."""
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(loaded.rows, ["select sum(a) from d.t"] * JOBS_BETWEEN))
    loaded.rows("insert into d.t values (10)")

    assert results == [[(45,)]] * JOBS_BETWEEN
    assert loaded.rows("select count(*), sum(a) from d.t") == [(11, 55)]
    loaded.stop()
    assert _stored(loaded, f"{loaded.client.project}.ducklake", CURRENT_FILES) in ([[1]], [[2]])


def test_old_queries_are_forgotten(loaded: Any) -> None:
    """Records of queries go beyond the latest thousand; the ids of loads stay known."""
    loaded.stop()
    _stored(
        loaded,
        "emulator.duckdb",
        "insert into jobs select project_id, job_id || n, null, state, creation_time + n, resource "
        "from (select * from jobs where json_extract_string(resource, '$.configuration.jobType') = 'QUERY' limit 1), "
        f"range({QUERY_JOBS_KEPT + 100}) r(n) returning 1",
    )
    loaded.start()
    loaded.stop()

    kinds = (
        "select json_extract_string(resource, '$.configuration.jobType') kind, count(*) from jobs group by 1 order by 1"
    )
    assert _stored(loaded, "emulator.duckdb", kinds) == [["LOAD", 10], ["QUERY", QUERY_JOBS_KEPT]]
