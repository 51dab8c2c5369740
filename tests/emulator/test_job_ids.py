"""A job id is used once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core.exceptions import Conflict


def test_simultaneous_submissions(warehouse: Any, dataset: str) -> None:
    """Of simultaneous loads with one id exactly one runs; the others are answered 409."""
    warehouse.rows(f"create table {dataset}.t (a int64)")

    def submit(job_id: str) -> bool:
        try:
            warehouse.submit(f"{dataset}.t", b'{"a": 1}', job_id=job_id)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(submit, [f"{dataset}-{number // 8}" for number in range(40)]))
    for number in range(5):
        warehouse.client.get_job(f"{dataset}-{number}").result()

    assert sum(accepted) == 5
    assert warehouse.rows(f"select count(*) from {dataset}.t") == [(5,)]


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_repeated_submission(warehouse: Any, dataset: str, outcome: str) -> None:
    """The id of a job that is done, well or badly, answers 409 and leads to that job."""
    warehouse.rows(f"create table {dataset}.t (a int64)")
    body = {"success": b'{"a": 1}', "failure": b'{"a": "x"}'}[outcome]
    warehouse.submit(f"{dataset}.t", body, job_id=dataset)
    with pytest.raises(Conflict):
        warehouse.submit(f"{dataset}.t", b'{"a": 2}', job_id=dataset)

    adopted = warehouse.client.get_job(dataset)
    assert adopted.exception(timeout=30) is None if outcome == "success" else adopted.exception(timeout=30)
    assert warehouse.rows(f"select * from {dataset}.t") == ([(1,)] if outcome == "success" else [])
