"""From a request to what is fetched: the ids of the window, less what the marts have, spread over lanes."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from include.coinbase.rest import TRADES_PER_PAGE, RestRefused
from include.config import BackfillConfig
from include.pipeline.backfill.client import open_rest
from include.pipeline.backfill.request import BackfillRequest, RequestRefused, check_known
from include.pipeline.backfill.search import IdRange, find_range
from include.pipeline.backfill.state import Piece, RefetchPlan, RunFolder, forget_old_runs
from include.spool import Spool
from include.warehouse.marts import Marts
from include.warehouse.warehouse import Warehouse

_STATE_DAYS: Final = 90
#: What a line of a segment has beside the row of the listing: envelope, type, product.
_ENVELOPE_BYTES: Final = 195

log = logging.getLogger(__name__)


def plan_refetch(
    spool: Spool, warehouse: Warehouse, config: BackfillConfig, request: BackfillRequest, *, run_id: str
) -> RefetchPlan:
    """The run's plan. Made once: a repetition returns the plan that is there, so that a run goes on with what it began.

    A dry run's plan is not kept. Raises RequestRefused for products that are not listed and for more trades than
    PULSE_BACKFILL_TRADES_MAX; RestError; and what the client library raises.
    """
    folder = RunFolder(spool, run_id)
    plan = folder.read_plan()
    if plan is None:
        ranges, requests = asyncio.run(_search(spool, config, request))
        _check_size(ranges, config)
        marts = Marts(warehouse, request.start, request.end)
        plan = make_plan(ranges, requests, _missing(marts, ranges), request, config)
        forget_old_runs(spool, _STATE_DAYS)
        if not request.dry_run:
            folder.write_plan(plan)
    return plan


def make_plan(
    ranges: list[IdRange],
    search_requests: int,
    missing: Sequence[Piece],
    request: BackfillRequest,
    config: BackfillConfig,
) -> RefetchPlan:
    """Pure: what is `missing` by product becomes lanes, with what they will cost."""
    pieces = list(merged(missing)) if request.only_missing else [_whole(found) for found in ranges if _has_any(found)]
    inside = {found.product_id: found for found in ranges}
    lacking = sum(_overlap(piece, inside[piece.product_id]) for piece in missing)
    requests = sum(map(pages, pieces))
    row_bytes = {found.product_id: found.row_bytes + _ENVELOPE_BYTES for found in ranges}
    return RefetchPlan(
        planned_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ranges=ranges,
        lanes=list(spread(pieces, request.concurrency)),
        already_there=sum(found.asked for found in ranges) - lacking,
        search_requests=search_requests,
        requests=requests,
        rows=sum(piece.asked for piece in pieces),
        bytes=sum(piece.asked * row_bytes[piece.product_id] for piece in pieces),
        seconds=round(requests / float(config.backfill_requests_per_second), 1),
    )


def pages(piece: Piece) -> int:
    """Requests that a piece takes."""
    return -(-piece.asked // TRADES_PER_PAGE)


def merged(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same ids in fewer requests: what lies so near to one another that one page brings both becomes one piece.

    `pieces` are ordered by product and id.
    """
    held: Piece | None = None
    for piece in pieces:
        if held is not None and held.product_id == piece.product_id:
            both = Piece(held.product_id, held.first, piece.last)
            if pages(both) <= pages(held) + pages(piece):
                held = both
                continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def spread(pieces: Iterable[Piece], lanes: int) -> Iterator[list[Piece]]:
    """At most `lanes` lists of nearly the same number of pages; a piece is cut where a lane is full."""
    rest = list(pieces)
    total = sum(map(pages, rest))
    for lane in range(lanes, 0, -1):
        share = -(-total // lane)
        taken = list(_take(rest, share))
        total -= sum(map(pages, taken))
        if taken:
            yield taken


def _take(rest: list[Piece], share: int) -> Iterator[Piece]:
    """Take pages off the front of `rest`."""
    while rest and share > 0:
        piece = rest.pop(0)
        if pages(piece) > share:
            last = piece.first + share * TRADES_PER_PAGE - 1
            rest.insert(0, Piece(piece.product_id, last + 1, piece.last))
            piece = Piece(piece.product_id, piece.first, last)
        share -= pages(piece)
        yield piece


async def _search(spool: Spool, config: BackfillConfig, request: BackfillRequest) -> tuple[list[IdRange], int]:
    async with open_rest(spool, config) as rest:
        check_known(request.products, [product.id for product in await rest.products()])
        ranges = []
        for product_id in request.products:
            try:
                found = await find_range(rest, product_id, request.start, request.end)
            except RestRefused as error:
                raise RequestRefused(f"products: the exchange refuses {product_id}: {error}. Leave it out") from error
            if found is None:
                log.info("%s never traded", product_id)
                continue
            log.info("%s: ids %d to %d, %d trades", product_id, found.first, found.last, found.asked)
            ranges.append(found)
        return ranges, rest.requests


def _missing(marts: Marts, ranges: Iterable[IdRange]) -> list[Piece]:
    """What the marts have not, the neighbours of the window included."""
    return [
        Piece(found.product_id, first, last)
        for found in ranges
        for first, last in marts.missing(found.product_id, found.least, found.greatest)
    ]


def _check_size(ranges: Iterable[IdRange], config: BackfillConfig) -> None:
    asked = {found.product_id: found.asked for found in ranges}
    total = sum(asked.values())
    if total > config.backfill_trades_max:
        limit = config.backfill_trades_max
        most = ", ".join(f"{product} {count:,}" for product, count in sorted(asked.items(), key=lambda i: -i[1])[:5])
        raise RequestRefused(
            f"the window has {total:,} trades ({most}), a refetch takes at most {limit:,}. Make the window "
            f"shorter (about {limit / total:.0%} of it fits), name fewer products, or raise PULSE_BACKFILL_TRADES_MAX"
        )


def _has_any(found: IdRange) -> bool:
    return found.least <= found.greatest


def _whole(found: IdRange) -> Piece:
    return Piece(found.product_id, found.least, found.greatest)


def _overlap(piece: Piece, found: IdRange) -> int:
    return max(0, min(piece.last, found.last) - max(piece.first, found.first) + 1)


def estimate(plan: RefetchPlan) -> dict[str, Any]:
    """What a dry run prints."""
    return {
        "products": {
            found.product_id: {"first_trade_id": found.first, "last_trade_id": found.last, "trades": found.asked}
            for found in plan.ranges
        },
        "asked": plan.asked,
        "already_there": plan.already_there,
        "rows_to_fetch": plan.rows,
        "requests": plan.requests,
        "requests_for_the_search": plan.search_requests,
        "spool_bytes": plan.bytes,
        "seconds_at_least": plan.seconds,
        "lanes": [[str(piece) for piece in lane] for lane in plan.lanes],
    }
