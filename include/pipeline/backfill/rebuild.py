"""Marts of whole days again from raw. market_pulse itself makes them, one run a day, so no table has two writers."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from include.pipeline.backfill.request import BackfillRequest, RequestRefused, days_of
from include.warehouse.statements import Statements
from include.warehouse.warehouse import Warehouse
from include.warehouse.window import Window

_DAY: Final = timedelta(days=1)
#: Between a message's time and its receipt, as in include/dbt/macros/market_window.sql.
_SLACK: Final = timedelta(minutes=10)


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day to rebuild: `trades_in_raw` are what its rows are made of, `trades_before` what the marts have now."""

    day: str
    window: Window
    trades_in_raw: int
    trades_before: int


def plan_rebuild(warehouse: Warehouse, request: BackfillRequest, now: datetime) -> list[Day]:
    """The days of the window of which raw has anything, in order. Changes nothing.

    Raises RequestRefused when there is none, or when raw has lost records of one: a partition expires after
    PULSE_RAW_EXPIRATION_DAYS, and marts are not to be made of what is left. Raises what the client library raises.
    """
    statements = warehouse.statements
    oldest = _text(now - timedelta(days=warehouse.config.raw_expiration_days))
    days = []
    for instant in days_of(request):
        window = _window_of(statements, instant)
        if window is None:
            continue
        if window.received_at_min < oldest:
            raise RequestRefused(
                f"raw.messages has expired for {instant.date()}: its records were received from "
                f"{window.received_at_min} on, and raw keeps {warehouse.config.raw_expiration_days} days. Set "
                f"window_start later; or raise PULSE_RAW_EXPIRATION_DAYS, and replay these days into another dataset"
            )
        days.append(_counted(statements, instant.date().isoformat(), window))
    if not days:
        raise RequestRefused(
            "the ledger has no loaded record of these days. Set another window, or load them first: mode refetch"
        )
    return days


def as_of_now(warehouse: Warehouse, planned: Window) -> Window:
    """The window of a planned day with what was loaded since.

    A run of market_pulse that failed in between may have brought some of that into some of the marts: made again
    without it, the day's would not agree.
    """
    day = datetime.fromisoformat(planned.traded_at_min or "")
    return _window_of(warehouse.statements, day) or planned


def report_rebuild(warehouse: Warehouse, days: list[Day]) -> dict[str, Any]:
    """How a rebuild ended: as a refetch's report, `asked` and `found` being the trades that raw has of the days."""
    statements = warehouse.statements
    after = [_counted(statements, day.day, day.window) for day in days]
    asked = sum(day.trades_in_raw for day in after)
    before, now = sum(day.trades_before for day in days), sum(day.trades_before for day in after)
    return {
        "asked": asked,
        "already_there": before,
        "found": asked,
        "inserted": now - before,
        "still_missing": asked - now,
        "days": {day.day: day.trades_before for day in after},
    }


def _window_of(statements: Statements, day: datetime) -> Window | None:
    """The window of a day: its trades, and between which receipts everything lies that tells of it."""
    (receipts,) = statements.rows(
        "receipts_of_day",
        day_from=day,
        day_to=day + _DAY,
        receipts_from=day - _SLACK,
        receipts_to=day + _DAY + _SLACK,
    )
    if not receipts["segments"]:
        return None
    return Window(
        batch_ids=(),
        records=receipts["records"],
        received_at_min=receipts["received_at_min"],
        received_at_max=receipts["received_at_max"],
        traded_at_min=_text(day),
        traded_at_max=_text(day + _DAY - timedelta(microseconds=1)),
        is_rebuild=True,
    )


def _counted(statements: Statements, day: str, window: Window) -> Day:
    (row,) = statements.rows(
        "trades_of_day", day=day, received_from=window.received_at_min, received_to=window.received_at_max
    )
    return Day(day=day, window=window, trades_in_raw=row["in_raw"], trades_before=row["in_marts"])


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
