"""Products and what the exchange's list said of them."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from tests.dbt.feed import MIDNIGHT, TRADE_TYPES, LoadedBatch, Row
from tests.dbt.oracle.figures import PRODUCT_KEYS
from tests.dbt.oracle.messages import is_usable

#: Types of the feed that name a product.
_OF_PRODUCTS = (*TRADE_TYPES, "ticker", "heartbeat")


def products(batches: Iterable[LoadedBatch]) -> list[Row]:
    """dim_products: what the feed and the exchange's list tell of them, by product."""
    times: dict[str, list[dt.datetime]] = defaultdict(list)
    lists: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    for batch in batches:
        for record in batch.records:
            if record["type"] == "pulse_product":
                lists[record["product_id"]].append((record["received_at"], record["detail"]))
            elif record["type"] in _OF_PRODUCTS and is_usable(record):
                traded = [dt.datetime.fromisoformat(record["time"])] if record["type"] in TRADE_TYPES else []
                times[record["product_id"]] += traded
    rows = []
    for product_id in sorted(times.keys() | lists.keys()):
        received_at, entry = max(lists[product_id], key=lambda item: item[0], default=(None, {}))
        base, _, quote = product_id.partition("-")
        rows.append(
            {
                "product_key": PRODUCT_KEYS[product_id],
                "product_id": product_id,
                "base_currency": entry.get("base_currency", base),
                "quote_currency": entry.get("quote_currency", quote),
                "display_name": entry.get("display_name", product_id),
                "status": entry.get("status"),
                "status_message": entry.get("status_message"),
                **{
                    name: Decimal(entry[name]) if name in entry else None
                    for name in ("base_increment", "quote_increment", "min_market_funds")
                },
                "is_trading_disabled": entry.get("trading_disabled"),
                "is_post_only": entry.get("post_only"),
                "is_limit_only": entry.get("limit_only"),
                "is_cancel_only": entry.get("cancel_only"),
                "is_in_auction": entry.get("auction_mode"),
                "is_fx_stablecoin": entry.get("fx_stablecoin"),
                "is_margin_enabled": entry.get("margin_enabled"),
                "is_listed": bool(entry),
                "listed_at": received_at and dt.datetime.fromisoformat(received_at),
                "first_traded_at": min(times[product_id], default=None),
                "last_traded_at": max(times[product_id], default=None),
            }
        )
    return rows


def product_versions(batches: Iterable[LoadedBatch]) -> list[Row]:
    """dim_product_history, by product and version."""
    entries: dict[str, list[Row]] = defaultdict(list)
    for batch in batches:
        for record in batch.records:
            if record["type"] == "pulse_product":
                entries[record["product_id"]].append(record)
    unversioned = ("is_listed", "listed_at", "first_traded_at", "last_traded_at")
    rows: list[Row] = []
    for product_id in sorted(entries):
        version_no, last = 0, None
        for record in sorted(entries[product_id], key=lambda entry: entry["received_at"]):
            (row,) = products([LoadedBatch("", MIDNIGHT, [record])])
            row = {name: value for name, value in row.items() if name not in unversioned}
            if row != last:
                received_at = dt.datetime.fromisoformat(record["received_at"])
                if last is not None:
                    rows[-1] |= {"valid_to": received_at, "is_current": False}
                version_no += 1
                version = {"version_no": version_no, "valid_from": received_at, "valid_to": None, "is_current": True}
                rows.append(row | version)
                last = row
    return rows
