"""BigQuery takes 1,500 load jobs a table and day, failed ones included, and raises that for nobody.

Source: https://cloud.google.com/bigquery/quotas#load_jobs ("load jobs per table per day"). The day is taken as the last
24 hours, which is never less strict than Google's.
"""

import math

import msgspec

LOAD_JOBS_PER_DAY = 1500
#: Kept for batches that are written down already and need another attempt.
RESERVE = 50
#: BigQuery's limit for one job is 10,000 URIs and 15 TB; ours is the size of the ledger's statement.
MAX_SEGMENTS = 10_000
_DAY_SECONDS = 24 * 60 * 60


class BatchSize(msgspec.Struct, frozen=True):
    """What one batch holds at most."""

    bytes: int
    segments: int

    def widened(self, factor: int) -> "BatchSize":
        """Larger by a factor."""
        return BatchSize(self.bytes * factor, min(self.segments * factor, MAX_SEGMENTS))


class Allowance(msgspec.Struct, frozen=True):
    """How many batches may be composed now. `used` counts the jobs of the last 24 hours."""

    used: int
    batches: int

    @classmethod
    def of(cls, used: int, schedule_seconds: int) -> "Allowance":
        """What is left when the reserve is kept, and with it one job for every run that the next day brings.

        A run always may load one batch, until only the reserve is left; then none.
        """
        left = LOAD_JOBS_PER_DAY - RESERVE - used
        scheduled = math.ceil(_DAY_SECONDS / schedule_seconds)
        spare = LOAD_JOBS_PER_DAY - RESERVE - max(used, scheduled)
        return cls(used, 0 if left <= 0 else max(1, min(left, spare)))

    def widening(self, wanted: int) -> int:
        """By how much batches have to be larger, when `wanted` would be composed at their usual size."""
        return max(1, math.ceil(wanted / max(1, self.batches)))

    def explain(self) -> str:
        """For the log."""
        return (
            f"{self.used} of {LOAD_JOBS_PER_DAY} load jobs of the last 24 h are used: {self.batches} more may be "
            f"composed now"
        )
