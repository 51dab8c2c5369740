"""Health of feed and pipeline."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tests.dbt.feed import TRADE_TYPES, LoadedBatch, Row
from tests.dbt.oracle.figures import PRODUCT_KEYS, floor, microseconds, nearest_rank, ratio
from tests.dbt.oracle.messages import instant, is_usable

PERCENTS = (50, 95, 99)
JUDGED = (*TRADE_TYPES, "ticker", "heartbeat", "malformed")


def feed_hours(batches: Iterable[LoadedBatch]) -> list[Row]:
    """rpt_feed_health, by hour, session and product."""
    groups: dict[tuple[dt.datetime, str, str], list[Row]] = defaultdict(list)
    once = {(record["session_id"], record["record_no"]): record for batch in batches for record in batch.records}
    for record in once.values():
        hour = floor(dt.datetime.fromisoformat(record["received_at"]), 60)
        groups[hour, record["session_id"], record.get("product_id", "(none)")].append(record)
    rows = []
    for (hour, session_id, product_id), records in sorted(groups.items()):
        types = Counter(record["type"] for record in records)
        received = [dt.datetime.fromisoformat(record["received_at"]) for record in records]
        latencies = [
            microseconds(at - sent_at)
            for at, record in zip(received, records, strict=True)
            if record["type"] == "match" and (sent_at := instant(record["time"]))
        ]
        seconds = Counter(at.replace(microsecond=0) for at in received)
        observed = int((max(seconds) - min(seconds)).total_seconds()) + 1
        rows.append(
            {
                "streamer_id": records[0]["streamer_id"],
                "session_id": session_id,
                "product_id": product_id,
                "message_count": len(records),
                "messages_per_second": ratio(len(records), observed),
                "peak_messages_per_second": max(seconds.values()),
                "observed_seconds": observed,
                "match_count": types["match"] + types["last_match"],
                "ticker_count": types["ticker"],
                "heartbeat_count": types["heartbeat"],
                "rejected_count": sum(record["type"] in JUDGED and not is_usable(record) for record in records),
                "connected_count": types["pulse_connected"],
                "disconnected_count": types["pulse_disconnected"],
                "back_pressure_count": types["pulse_back_pressure"],
                "gap_count": types["pulse_gap"],
                "gap_trade_count": _ids_of(records, "pulse_gap", "first_missing", "last_missing"),
                "closed_trade_count": _ids_of(records, "pulse_gap_closed", "first", "last"),
                **{f"latency_p{percent}_us": nearest_rank(latencies, percent) for percent in PERCENTS},
                **{f"durable_p{percent}_us": _slowest(records, f"durable_p{percent}_us") for percent in PERCENTS},
                "received_date": hour.date(),
                "hour_at": hour,
                "first_received_at": min(received),
                "last_received_at": max(received),
            }
        )
    return rows


def _slowest(records: Iterable[Row], name: str) -> int | None:
    return max((record["detail"][name] for record in records if record["type"] == "pulse_commits"), default=None)


def _ids_of(records: Iterable[Row], control_type: str, first: str, last: str) -> int:
    details = [record["detail"] for record in records if record["type"] == control_type]
    return sum(detail[last] - detail[first] + 1 for detail in details)


def load_batches(batches: Sequence[LoadedBatch], all_trades: Iterable[Row]) -> list[Row]:
    """rpt_pipeline_batches, by batch."""
    hours = feed_hours(batches)
    return [_load_batch(batch, all_trades, hours) for batch in sorted(batches, key=lambda batch: batch.batch_id)]


def _load_batch(batch: LoadedBatch, all_trades: Iterable[Row], hours: Iterable[Row]) -> Row:
    ledger, done_at = batch.ledger_row(), batch.transformed_at
    first, last = (dt.datetime.fromisoformat(ledger[f"received_at_{end}"]) for end in ("min", "max"))
    session_id = batch.records[0]["session_id"]
    own = [hour for hour in hours if hour["session_id"] == session_id and floor(first, 60) <= hour["hour_at"] <= last]
    timed = [
        trade
        for trade in all_trades
        if trade["batch_id"] == batch.batch_id and trade["source"] == "ws" and not trade["is_last_match"]
    ]
    stages: dict[str, list[int]] = {
        "exchange_to_received": [microseconds(trade["received_at"] - trade["traded_at"]) for trade in timed],
        "received_to_sealed": [microseconds(batch.sealed_at - trade["received_at"]) for trade in timed],
        "exchange_to_mart": [microseconds(done_at - trade["traded_at"]) for trade in timed] if done_at else [],
    }
    return {
        "batch_id": batch.batch_id,
        "dag_run_id": ledger["dag_run_id"],
        "job_id": None,
        "state": "transformed" if done_at else "loaded",
        "attempt": ledger["attempt"],
        "segment_count": 1,
        "record_count": len(batch.records),
        "byte_count": ledger["bytes"],
        "loaded_count": None,
        "timed_trade_count": len(timed),
        **{
            f"{stage}_p{percent}_us": nearest_rank(times, percent)
            for stage, times in stages.items()
            for percent in PERCENTS
        },
        **{
            f"received_to_durable_p{percent}_us": max(
                (hour[name] for hour in own if hour[name := f"durable_p{percent}_us"] is not None), default=None
            )
            for percent in PERCENTS
        },
        "sealed_to_loaded_us": microseconds(batch.loaded_at - batch.sealed_at),
        "loaded_to_mart_us": microseconds(done_at - batch.loaded_at) if done_at else None,
        "first_received_at": first,
        "last_received_at": last,
        "first_traded_at": None,
        "last_traded_at": None,
        "first_sealed_at": batch.sealed_at,
        "last_sealed_at": batch.sealed_at,
        "composed_at": batch.loaded_at,
        "loaded_at": batch.loaded_at,
        "transformed_at": done_at,
    }


def dead_letters(batches: Iterable[LoadedBatch]) -> list[Row]:
    """rpt_dead_letters, by segment and line."""
    rows = []
    for letter in (letter for batch in batches for letter in batch.dead_letters):
        row = {name: value for name, value in letter.items() if name not in ("error", "line", "first_seen")}
        times = {name: _at(letter[name]) for name in ("received_at", "redriven_at")}
        rows.append(
            row
            | times
            | {
                "error_text": letter["error"],
                "line_start": letter["line"] and letter["line"][:1000],
                "first_seen_at": _at(letter["first_seen"]),
                "is_open": letter["redriven_at"] is None,
            }
        )
    return sorted(rows, key=lambda row: (row["segment"], row["line_no"]))


def schema_drift(batches: Iterable[LoadedBatch]) -> list[Row]:
    """rpt_schema_drift, by message type, member and deviation."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for seen in (seen for batch in batches for seen in batch.drift):
        groups[seen["type"], seen["field"], seen["kind"]].append(seen)
    return [
        {
            "message_type": message_type,
            "field_name": field,
            "drift_kind": kind,
            "example": min(group, key=lambda seen: seen["received_at_min"])["example"],
            "message_count": sum(seen["count"] for seen in group),
            "segment_count": len(group),
            "first_seen_at": _at(min(seen["received_at_min"] for seen in group)),
            "last_seen_at": _at(max(seen["received_at_max"] for seen in group)),
        }
        for (message_type, field, kind), group in sorted(groups.items())
    ]


def freshness(
    batches: Sequence[LoadedBatch], all_products: Iterable[Row], all_days: Iterable[Row], now: dt.datetime
) -> list[Row]:
    """rpt_freshness as of `now`, by product."""
    loaded_at = max(batch.loaded_at for batch in batches)
    done = [batch.transformed_at for batch in batches if batch.transformed_at]
    rows = []
    for product in all_products:
        covered = [day["last_covered_at"] for day in all_days if day["product_id"] == product["product_id"]]
        covered_at = max(filter(None, covered), default=None)
        rows.append(
            {
                "product_key": PRODUCT_KEYS[product["product_id"]],
                "product_id": product["product_id"],
                "last_trade_age_seconds": _age(now, product["last_traded_at"]),
                "covered_age_seconds": _age(now, covered_at and covered_at + dt.timedelta(minutes=1)),
                "load_age_seconds": _age(now, loaded_at),
                "waiting_batch_count": len(batches) - len(done),
                "last_traded_at": product["last_traded_at"],
                "last_covered_at": covered_at,
                "last_loaded_at": loaded_at,
                "last_transformed_at": max(done, default=None),
            }
        )
    return rows


def _age(now: dt.datetime, instant: dt.datetime | None) -> int | None:
    return None if instant is None else int((now - instant).total_seconds())


def _at(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)
