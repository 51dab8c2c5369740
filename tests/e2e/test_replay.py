"""A recording through the whole product, in one command."""

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import RECORDINGS, RunningStack, eventually, running

REAL = RECORDINGS / "exchange_btc_eth_2026-07-07.ndjson"


def own_recording(path: Path) -> Path:
    """A small recording with what the feed has: an answer, last matches, matches, heartbeats, level 2 updates."""
    products = ("BTC-USD", "SKL-GBP")
    frames: list[dict[str, Any]] = [
        {"type": "subscriptions", "channels": [{"name": "matches", "product_ids": list(products), "account_ids": None}]}
    ]
    for number in range(300):
        product = products[number % 2]
        stamp = f"2026-07-07T23:59:{45 + number // 20:02d}.{number:06d}Z"
        trade = {
            "type": "last_match" if number < 2 else "match",
            "trade_id": 1000 + number // 2,
            "maker_order_id": f"00000000-0000-4000-8000-{number:012d}",
            "taker_order_id": f"00000000-0000-4000-9000-{number:012d}",
            "side": "buy" if number % 3 else "sell",
            "size": f"0.{number + 1:08d}",
            "price": f"{60000 + number}.12345678",
            "product_id": product,
            "sequence": 5000 + 3 * number,
            "time": stamp,
        }
        frames.append(trade)
        if number % 10 == 0:
            frames.append(
                {
                    "type": "heartbeat",
                    "last_trade_id": trade["trade_id"],
                    "product_id": product,
                    "sequence": trade["sequence"],
                    "time": stamp,
                }
            )
            frames.append(
                {"type": "l2update", "product_id": product, "changes": [["buy", "1.00", "0.5"]], "time": stamp}
            )
    path.write_text("".join(json.dumps(frame, separators=(",", ":")) + "\n" for frame in frames))
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real recording where there is one, else one of our own."""
    return REAL if REAL.exists() else own_recording(tmp_path_factory.mktemp("recording") / "own.ndjson")


@pytest.fixture(scope="module")
def frames(recording: Path) -> list[dict[str, Any]]:
    """The recording's frames, numbers kept exact."""
    return [json.loads(line, parse_float=Decimal) for line in recording.read_text().splitlines()]


@pytest.fixture(scope="module")
def stack(stack_home: Path, recording: Path) -> Iterator[RunningStack]:
    """A stack that replays the recording."""
    yield from running(stack_home, "SOURCE=replay", f"REPLAY={recording}", "SPEED=max", PULSE_SCHEDULE_SECONDS="3600")


def trades_of(frames: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(f["product_id"], f["trade_id"]): f for f in frames if f["type"] in {"match", "last_match"}}


@pytest.mark.timeout(600)
def test_every_trade_of_the_recording_is_in_the_mart_once_and_exact(
    stack: RunningStack, frames: list[dict[str, Any]]
) -> None:
    """fct_trades equals the recording to the last digit, computed here from the file alone."""
    expected = trades_of(frames)
    eventually(
        lambda: stack.get(stack.known["simulator_url"] + "/status")["finished"],
        within=120,
        what="the replay is finished",
    )
    stack.run_to_success()

    rows = stack.query(
        "select product_id, trade_id, price, size, notional, maker_side, taker_side, traded_at from {marts}.fct_trades"
    )
    found = {(row["product_id"], row["trade_id"]): row for row in rows}

    assert len(rows) == len(found)
    assert found.keys() == expected.keys()
    other = {"buy": "sell", "sell": "buy"}
    for key, row in found.items():
        frame = expected[key]
        price, size = Decimal(frame["price"]), Decimal(frame["size"])
        assert (row["price"], row["size"]) == (price, size)
        assert abs(row["notional"] - price * size) <= Decimal("0.0000000005")
        assert (row["maker_side"], row["taker_side"]) == (frame["side"], other[frame["side"]])
        assert row["traded_at"] == datetime.fromisoformat(frame["time"])


if REAL.exists():

    @pytest.mark.timeout(600)
    def test_the_real_minute_has_its_known_figures(stack: RunningStack) -> None:
        """Counts, id ranges, volumes and notionals of the recorded minute."""
        rows = stack.query(
            "select product_id, count(*) n, min(trade_id) lo, max(trade_id) hi,"
            " sum(size) volume, sum(price * size) notional"
            " from {marts}.fct_trades group by product_id order by product_id"
        )
        figures = [(r["product_id"], r["n"], r["lo"], r["hi"], r["volume"], r["notional"]) for r in rows]

        assert figures == [
            ("BTC-USD", 345, 1052119288, 1052119632, Decimal("0.90258343"), Decimal("57324.4281569736")),
            ("ETH-USD", 92, 825468236, 825468327, Decimal("24.71288767"), Decimal("43856.8251882513")),
        ]


@pytest.mark.timeout(300)
def test_every_frame_is_in_raw_and_numbered_without_a_hole(stack: RunningStack, frames: list[dict[str, Any]]) -> None:
    """Every received frame is a row of raw.messages, level 2 included; record_no counts 1, 2, 3 … per session."""
    rows = stack.query(
        "select session_id, record_no, type from {raw}.messages where received_at > timestamp '2020-01-01 00:00:00+00'"
        " order by session_id, record_no"
    )
    received = [row["type"] for row in rows if not row["type"].startswith("pulse_")]

    assert sorted(received) == sorted(frame["type"] for frame in frames)
    for _, session in itertools.groupby(rows, key=lambda row: row["session_id"]):
        numbers = [row["record_no"] for row in session]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.timeout(600)
def test_a_second_run_is_quick_green_and_changes_nothing(stack: RunningStack, frames: list[dict[str, Any]]) -> None:
    """A run without new segments skips dbt, succeeds, and leaves the mart as it was."""
    run = stack.run_to_success()

    tasks = {
        task["task_id"]: task["state"]
        for task in stack.airflow(f"dags/market_pulse/dagRuns/{run['dag_run_id']}/taskInstances?limit=200")[
            "task_instances"
        ]
    }
    assert tasks["dbt.dbt_build"] == "skipped"
    assert tasks["archive_segments"] == "success"
    assert stack.query("select count(*) n from {marts}.fct_trades")[0]["n"] == len(trades_of(frames))


@pytest.mark.timeout(600)
def test_a_task_can_be_cleared_while_its_run_goes_on(stack: RunningStack) -> None:
    """As on-call clears it in the web UI: the run does it again and succeeds."""
    run_id = stack.trigger()
    eventually(lambda: stack.tasks_of(run_id).get("seal_segments") == "success", within=120, what="a task is done")

    cleared = stack.airflow(
        "dags/market_pulse/clearTaskInstances",
        {"dry_run": False, "dag_run_id": run_id, "task_ids": ["seal_segments"], "only_failed": False},
    )

    assert [task["task_id"] for task in cleared["task_instances"]] == ["seal_segments"]
    eventually(lambda: stack.state_of(run_id) in {"success", "failed"}, within=240, what="the run is over")
    assert stack.state_of(run_id) == "success"


@pytest.mark.timeout(600)
def test_the_product_dimension_has_what_the_exchange_lists(stack: RunningStack) -> None:
    """A new installation asks for the list by itself, and the next run has it in the marts."""
    runs = "dags/market_pulse_products/dagRuns?limit=10"
    eventually(
        lambda: "success" in {run["state"] for run in stack.airflow(runs)["dag_runs"]}, within=120, what="it is asked"
    )
    stack.run_to_success()

    listed = {product["id"]: product for product in stack.get(stack.known["simulator_url"] + "/products")}
    rows = stack.query(
        "select product_id, is_listed, status, base_increment, quote_increment from {marts}.dim_products"
    )
    assert {row["product_id"] for row in rows} == listed.keys()
    for row in rows:
        product = listed[row["product_id"]]
        assert row["is_listed"]
        assert row["status"] == product["status"]
        increments = (Decimal(product["base_increment"]), Decimal(product["quote_increment"]))
        assert (row["base_increment"], row["quote_increment"]) == increments


@pytest.mark.timeout(600)
def test_down_and_up_again_continues_with_the_data(
    stack: RunningStack, recording: Path, frames: list[dict[str, Any]]
) -> None:
    """Stopping everything and starting it again loses no row."""
    stack.make("down")
    stack.up("SOURCE=replay", f"REPLAY={recording}", "SPEED=max")

    assert stack.query("select count(*) n from {marts}.fct_trades")[0]["n"] == len(trades_of(frames))
