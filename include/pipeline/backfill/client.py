"""How a backfill asks the exchange."""

from typing import Final

from include.coinbase.rest import RestClient
from include.coinbase.shared_bucket import SharedTokenBucket
from include.config import BackfillConfig
from include.pipeline.backfill.state import bucket_path
from include.spool import Spool

_USER_AGENT: Final = "coinbase-market-pulse-backfill/1"
#: A request that fails is repeated so often, after at most so long: a storm of minutes ends no task.
_ATTEMPTS: Final = 12
_MAX_WAIT_SECONDS: Final = 30.0


def open_rest(spool: Spool, config: BackfillConfig) -> RestClient:
    """A client that shares the exchange's limit with every other backfill task of this spool."""
    bucket = SharedTokenBucket(bucket_path(spool), rate=float(config.backfill_requests_per_second))
    return RestClient(
        config.rest_url, user_agent=_USER_AGENT, bucket=bucket, attempts=_ATTEMPTS, max_wait_seconds=_MAX_WAIT_SECONDS
    )
