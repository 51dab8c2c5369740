"""The memory that statements may take, and what happens beyond it."""

from pathlib import Path
from typing import Any

import pytest

MIB = 1024 * 1024
LIMIT = 256 * MIB

#: What the process has by itself, and gives back late: libraries, catalogue, the allocator's slack.
BESIDE = 350 * MIB

#: Four million different strings of 70 characters: more than the limit, to be sorted and grouped.
STATEMENT = """
CREATE OR REPLACE TABLE d.many AS
SELECT word, COUNT(*) AS times
FROM (
    SELECT CONCAT(TO_HEX(SHA256(CAST(number AS STRING))), CAST(number AS STRING)) AS word
    FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS thousand, UNNEST(GENERATE_ARRAY(1, 4000)) AS one,
        UNNEST([thousand * 4000 + one]) AS number
)
GROUP BY word
ORDER BY word
"""


def _peak(pid: int) -> int:
    """The most that was ever resident of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture
def small(own_warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A warehouse that runs with LIMIT."""
    settings = own_warehouse.environment | {"PULSE_WAREHOUSE_MEMORY_MAX_BYTES": str(LIMIT)}
    monkeypatch.setattr(type(own_warehouse), "environment", settings)
    return own_warehouse


def test_a_statement_beyond_the_limit_works_on_disk_and_not_in_memory(small: Any) -> None:
    """A statement on more than the limit is answered, and the process does not grow with it."""
    small.start()
    small.client.create_dataset("d")

    small.rows(STATEMENT)

    assert small.rows("SELECT COUNT(*), SUM(times) FROM d.many") == [(4_000_000, 4_000_000)]
    assert _peak(small.process.pid) < LIMIT + BESIDE


def test_what_a_killed_process_put_aside_is_removed(small: Any) -> None:
    """Files of a process that was killed do not fill the disk."""
    left = small.folder / "spill" / "duckdb_temp_storage_DEFAULT-0.tmp"
    left.parent.mkdir()
    left.write_bytes(b"x")

    small.start()

    assert not left.exists()
