"""Corrected dead letters reach the warehouse once, on the usual path; a new column is filled from what was kept."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from include.pipeline.backfilling import BackfillRefused, backfill_column
from include.pipeline.redriving import RedriveRefused, export_letters, list_letters, redrive
from include.spool import State, durable
from include.warehouse import Warehouse, table_specs
from include.warehouse.dead_letters import DeadLetters
from include.warehouse.table_specs import SCHEMAS
from tests.pipeline.conftest import Run
from tests.pipeline.test_crashes import killed_in
from tests.warehouse.spools import match, matches, sealed_segment, write_segment

BAD = b'{"type":"match","trade_id":"abc","price":"1.100","product_id":"BTC-USD"}'


def test_a_corrected_letter_is_loaded_with_its_own_time_and_origin(run: Run, tmp_path: Path) -> None:
    """Frame corrected, receipt kept; a control record tells where it comes from."""
    name = sealed_segment(run.spool, [*matches(2), BAD, b"not json"])
    run.load()
    file = tmp_path / "letters.ndjson"
    assert export_letters(run.warehouse, file) == {"exported": 2, "too_long": 0}
    _correct(file, {"abc": "77"})
    (letter, _) = run.warehouse.dead_letters.open()

    outcome = redrive(run.spool, run.warehouse, file)
    run.seal()
    run.load()

    assert (outcome["redriven"], outcome["sent_before"]) == (1, 0)
    rows = _rows(run, f"session_id != '{name.session_id}'")
    assert [(row["type"], row["record_no"], row["trade_id"], row["price"]) for row in rows] == [
        ("pulse_redriven", 1, None, None),
        ("match", 2, 77, "1.100"),
    ]
    assert {row["received_at"].isoformat(timespec="microseconds").replace("+00:00", "Z") for row in rows} == {
        letter.received_at
    }
    assert rows[0]["detail"] == {"segment": name.file_name, "line_no": 3, "reason": "refused"}
    assert [entry["line_no"] for entry in list_letters(run.warehouse)] == [4]


def test_a_file_is_redriven_once(run: Run, tmp_path: Path) -> None:
    """A second time nothing is open."""
    file = _letters(run, tmp_path)
    redrive(run.spool, run.warehouse, file)

    assert redrive(run.spool, run.warehouse, file) | {"segment": None} == {
        "redriven": 0,
        "sent_before": 0,
        "not_open": 2,
        "segment": None,
    }


@pytest.mark.parametrize(
    ("owner", "method", "moment"),
    [
        (DeadLetters, "plan_redrive", "after"),
        (durable, "write_atomic", "after"),
        (DeadLetters, "close_redrive", "before"),
        (DeadLetters, "close_redrive", "after"),
    ],
)
@pytest.mark.parametrize("runs_between", [False, True])
def test_a_kill_at_any_point_doubles_nothing(
    run: Run, tmp_path: Path, owner: Any, method: str, moment: str, runs_between: bool
) -> None:
    """Also when the pipeline has run in between, and when the file was edited again."""
    file = _letters(run, tmp_path)

    killed_in(lambda: redrive(run.spool, Warehouse.connect(run.warehouse.config), file), owner, method, moment)
    if runs_between:
        run.seal()
        run.load()
    _correct(file, {"BTC-USD": "ETH-USD"})
    redrive(run.spool, run.warehouse, file)
    run.seal()
    run.load()

    assert [row["trade_id"] for row in _rows(run, "streamer_id = 'redrive' and type = 'match'")] == [77, 77]
    assert run.warehouse.dead_letters.open() == []


def test_a_frame_that_would_come_back_is_refused_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    """By the letter and the fault."""
    file = _letters(run, tmp_path, correct=False)

    with pytest.raises(RedriveRefused, match="trade_id"):
        redrive(run.spool, run.warehouse, file)
    _correct(file, {"{": "["})
    with pytest.raises(RedriveRefused):
        redrive(run.spool, run.warehouse, file)

    assert run.spool.segments(State.SEALING) == []
    assert [letter.redriven_to for letter in run.warehouse.dead_letters.open()] == [None, None]


def test_a_new_member_is_kept_in_extra_and_fills_a_column_later(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drift is seen at sealing, listed at loading; the column is added without a rewrite and back-filled by hour.

    In a warehouse of its own: the column stays.
    """
    run.warehouse = Warehouse.connect(msgspec.structs.replace(run.warehouse.config, dataset_prefix="drifted"))
    frames = [match(1)[:-1] + b',"fee":"0.10"}', match(2), match(3)[:-1] + b',"fee":7}']
    write_segment(run.spool, frames)
    run.seal()
    run.load()
    run.load()

    view = f"{run.warehouse.config.project}.{run.warehouse.config.datasets().ops}.schema_drift"
    (drift,) = run.warehouse.client.query_and_wait(f"select * from `{view}` where field = 'fee'")
    assert (drift["type"], drift["kind"], drift["messages"], drift["segments"]) == ("match", "new", 2, 1)
    assert [row["extra"] for row in _rows(run, "true")] == [{"fee": "0.10"}, None, {"fee": 7}]

    for path in SCHEMAS.iterdir():
        content = path.read_text("utf-8")
        if path.name == "messages.json":
            content = content.replace(
                '"schema": [', '"schema": [{"name": "fee", "type": "STRING", "description": "New."},'
            )
        (tmp_path / path.name).write_text(content)
    monkeypatch.setattr(table_specs, "SCHEMAS", tmp_path)
    received = _rows(run, "true")[0]["received_at"]
    for expected in (2, 0):
        outcome = backfill_column(run.warehouse, "fee", received, received.replace(microsecond=999_999))
        assert outcome == {"column": "fee", "hours": 1, "rows": expected}
    assert [row["fee"] for row in _rows(run, "true")] == ["0.10", None, "7"]


def test_only_a_nullable_column_of_the_schema_can_be_filled(run: Run) -> None:
    """A name from the command line never becomes SQL of its own."""
    for name in ("nothing", "batch_id", "extra", "price` = 'x' --"):
        with pytest.raises(BackfillRefused, match="nullable column"):
            backfill_column(run.warehouse, name, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


def _letters(run: Run, tmp_path: Path, *, correct: bool = True) -> Path:
    sealed_segment(run.spool, [*matches(2), BAD])
    sealed_segment(run.spool, [BAD, *matches(2, first=10)])
    run.load()
    file = tmp_path / "letters.ndjson"
    export_letters(run.warehouse, file)
    if correct:
        _correct(file, {"abc": "77"})
    return file


def _correct(file: Path, changes: dict[str, str]) -> None:
    """Edit the frames of an exported file that can be edited."""
    kept = []
    for line in file.read_bytes().splitlines():
        item = msgspec.json.decode(line)
        for old, new in changes.items():
            item["frame"] = item["frame"].replace(old, new)
        if item["frame"].startswith(("{", "[")):
            kept.append(msgspec.json.encode(item) + b"\n")
    file.write_bytes(b"".join(kept))


def _rows(run: Run, condition: str) -> list[Any]:
    sql = (
        f"select * from `{run.warehouse.messages_id}` where received_at > '2000-01-01' and {condition} "
        "order by session_id, record_no"
    )
    return list(run.warehouse.client.query_and_wait(sql))
