"""The exchange's limit on public REST requests: a token bucket for each address."""

import time
from typing import NamedTuple


class _Bucket(NamedTuple):
    tokens: float
    filled_at: float


class RateLimit:
    """`rate` requests a second, `burst` at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def take(self, address: str) -> bool:
        """Take one token; False when there is none, and then nothing is taken."""
        now = time.monotonic()
        bucket = self._buckets.get(address, _Bucket(self._burst, now))
        tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
        allowed = tokens >= 1
        self._buckets[address] = _Bucket(tokens - 1 if allowed else tokens, now)
        return allowed
