"""The exchange's list of products, recorded as it is: a session of its own that takes the way of every other.

The marts make `dim_products` and its history of it (include/dbt). A task that is killed in between leaves what it has
written, which is sealed and loaded like any other session without an end; the next list is whole again.
"""

import asyncio
import time
from typing import Any, Final

from include.config import BackfillConfig
from include.pipeline.backfill.client import open_rest
from include.spool import FORMAT_VERSION, RecordEncoder, SegmentWriter, Session, Spool

#: Its lock keeps out a second process that lists at the same time.
STREAMER_ID: Final = "listing"
CONTROL_TYPE: Final = "pulse_product"
#: What REST brought came over no connection of its session.
_NO_CONNECTION: Final = 0
#: One segment holds a list: the exchange's are below 1 MB. Both limits are never reached.
_SEGMENT_MAX_BYTES: Final = 256 * 1024 * 1024
_SEGMENT_MAX_AGE_SECONDS: Final = 3600.0


def record_listing(spool: Spool, config: BackfillConfig) -> dict[str, Any]:
    """Ask the exchange for its products and write one `pulse_product` record for each; how many there are.

    The product is named by the entry's `id` alone, so that the feed's figures by product (`rpt_feed_health`) are of the
    feed. Raises RestError, SpoolLocked; OSError from the disk.
    """
    with spool.lock_streamer(STREAMER_ID):
        products = asyncio.run(_ask(spool, config))
        session = Session.new(STREAMER_ID, time.time_ns())
        writer = SegmentWriter(spool, session, _SEGMENT_MAX_BYTES, _SEGMENT_MAX_AGE_SECONDS)
        writer.write(_lines(session, products, config.rest_url))
        segment = writer.close()
    return {"products": len(products), "segment": segment and segment.file_name}


async def _ask(spool: Spool, config: BackfillConfig) -> list[dict[str, Any]]:
    async with open_rest(spool, config) as rest:
        return await rest.listing()


def _lines(session: Session, products: list[dict[str, Any]], url: str) -> bytes:
    encoder = RecordEncoder(session, time.time_ns)
    started = {"version": "listing", "format_version": FORMAT_VERSION, "feed_url": url, "channels": ["rest"]}
    records = [encoder.control("pulse_started", started, _NO_CONNECTION)]
    records += [encoder.control(CONTROL_TYPE, entry, _NO_CONNECTION) for entry in products]
    records.append(encoder.control("pulse_stopped", {"reason": "done"}, _NO_CONNECTION))
    return b"".join(record.line for record in records)
