"""How a refetch ended: asked, found, inserted, already there, still missing."""

from typing import Any

from include.pipeline.backfill.plan import estimate
from include.pipeline.backfill.request import BackfillRequest
from include.pipeline.backfill.state import RefetchPlan, RunFolder
from include.spool import Spool
from include.warehouse.marts import Marts
from include.warehouse.warehouse import Warehouse


def sessions_of(spool: Spool, run_id: str) -> list[str]:
    """The sessions that a run has written as."""
    return [session for lane in RunFolder(spool, run_id).lanes() for session in lane.sessions]


def report_refetch(spool: Spool, warehouse: Warehouse, request: BackfillRequest, *, run_id: str) -> dict[str, Any]:
    """The report of a run whose segments are in the marts.

    asked          trades that the exchange's numbers say the window has
    already_there  of these, in the marts before
    found          trades that REST brought, the window's neighbours included
    inserted       trades of the window whose row in the marts is made of what REST brought
    still_missing  trades of the window that the marts have not, with their ids

    Raises what the client library raises.
    """
    folder = RunFolder(spool, run_id)
    plan, lanes = folder.read_plan(), folder.lanes()
    if plan is None:
        raise FileNotFoundError(f"{folder.path}: no plan. Hint: clear the task that makes it")
    marts = Marts(warehouse, request.start, request.end)
    sessions = [session for lane in lanes for session in lane.sessions]
    products = {found.product_id: _product(marts, found, sessions) for found in plan.ranges}
    return {
        "asked": plan.asked,
        "already_there": plan.already_there,
        "found": sum(lane.found for lane in lanes),
        "inserted": sum(product["inserted"] for product in products.values()),
        "still_missing": sum(product["still_missing"] for product in products.values()),
        "products": products,
        "requests": plan.search_requests + sum(lane.requests for lane in lanes),
        "refused_429": sum(lane.refusals for lane in lanes),
        "failed_requests": sum(lane.failures for lane in lanes),
        "fetching_seconds": round(max((lane.seconds for lane in lanes), default=0.0), 1),
        "sessions": len(sessions),
    }


def report_dry_run(plan: RefetchPlan) -> dict[str, Any]:
    """The report of a run that was only to say what it would do."""
    return {"dry_run": True} | estimate(plan)


_RANGES_SHOWN = 20


def _product(marts: Marts, found: Any, sessions: list[str]) -> dict[str, Any]:
    known = marts.known(found.product_id, found.first, found.last, sessions)
    missing = marts.missing(found.product_id, found.first, found.last)
    return {
        "asked": found.asked,
        "inserted": known.inserted,
        "known": known.known,
        "still_missing": sum(last - first + 1 for first, last in missing),
        "missing_trade_ids": [f"{first}-{last}" for first, last in missing[:_RANGES_SHOWN]],
    }
