"""Results of queries come and go."""

from typing import Any

import pytest
from google.api_core.exceptions import NotFound

KEPT = 200


def test_old_results_go(own_warehouse: Any) -> None:
    """The latest 200 results can be read, also after a restart; an older one is not found."""
    own_warehouse.start()
    jobs = []
    for number in range(KEPT + 1):
        jobs.append(own_warehouse.client.query(f"select {number} a"))
        jobs[-1].result()

    def read(job: Any) -> list[int]:
        return [row.a for row in own_warehouse.client.get_job(job.job_id).result()]

    with pytest.raises(NotFound):
        read(jobs[0])
    assert read(jobs[1]) == [1]
    own_warehouse.stop()
    own_warehouse.start()
    own_warehouse.rows("select 1")
    with pytest.raises(NotFound):
        read(jobs[1])
    assert read(jobs[2]) == [2]
