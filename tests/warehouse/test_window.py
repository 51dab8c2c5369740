"""The window: bounds that enclose every batch in it, on their way to dbt."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.config import Source, WarehouseConfig
from include.warehouse.dbt_environment import dbt_environment
from include.warehouse.ledger import LoadedBatch
from include.warehouse.window import WINDOW_VARIABLES, Window

INSTANTS = st.integers(0, 59).map("2026-07-07T22:58:{:02d}.000000Z".format)


@st.composite
def loaded_batches(draw: st.DrawFn) -> LoadedBatch:
    """A batch with or without trades."""
    received, traded = (sorted([draw(INSTANTS), draw(INSTANTS)]) for _ in range(2))
    trades = draw(st.booleans())
    return LoadedBatch(
        draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        draw(st.integers(1, 1000)),
        *received,
        *(traded if trades else (None, None)),
    )


@given(st.lists(loaded_batches(), min_size=1))
def test_the_bounds_enclose_every_batch_and_no_more(batches: list[LoadedBatch]) -> None:
    """A row outside the bounds would never reach the marts."""
    window = Window.of(batches)

    assert window is not None
    assert window.batch_ids == tuple(batch.batch_id for batch in batches)
    assert window.records == sum(batch.records for batch in batches)
    assert all(window.received_at_min <= batch.received_at_min for batch in batches)
    assert all(window.received_at_max >= batch.received_at_max for batch in batches)
    assert window.received_at_min in {batch.received_at_min for batch in batches}
    assert window.received_at_max in {batch.received_at_max for batch in batches}
    traded = [batch for batch in batches if batch.traded_at_min and batch.traded_at_max]
    assert window.traded_at_min == min((batch.traded_at_min for batch in traded if batch.traded_at_min), default=None)
    assert window.traded_at_max == max((batch.traded_at_max for batch in traded if batch.traded_at_max), default=None)


@given(st.lists(loaded_batches(), min_size=1))
def test_a_window_survives_its_way_through_json(batches: list[LoadedBatch]) -> None:
    """An XCom is JSON; members that the task adds do not matter."""
    window = Window.of(batches)
    assert window is not None

    fields = json.loads(json.dumps({**window.to_dict(), "environment": window.to_environment()}))

    assert Window.from_dict(fields) == window


def test_no_batches_are_no_window() -> None:
    """Nothing new: the run skips dbt."""
    assert Window.of([]) is None


def test_dbt_gets_the_bounds_as_text(loaded: Callable[..., LoadedBatch]) -> None:
    """UTC, six decimals, both bounds inclusive."""
    window = Window.of([loaded()])

    assert window is not None
    assert window.to_environment() == {
        "DBT_WINDOW_RECEIVED_FROM": "2026-07-07T22:58:16.000001Z",
        "DBT_WINDOW_RECEIVED_TO": "2026-07-07T22:59:16.000001Z",
        "DBT_WINDOW_TRADED_FROM": "2026-07-07T22:58:15.000001Z",
        "DBT_WINDOW_TRADED_TO": "2026-07-07T22:59:15.000001Z",
        "DBT_WINDOW_REBUILD": "",
    }


def test_a_window_without_trades_has_no_trade_bounds(loaded: Callable[..., LoadedBatch]) -> None:
    """Both bounds are empty, the bounds of receipt are not: dbt tells this from a run by hand."""
    window = Window.of([loaded(traded_at_min=None, traded_at_max=None)])

    assert window is not None
    environment = window.to_environment()
    assert set(environment) == set(WINDOW_VARIABLES)
    assert (environment["DBT_WINDOW_TRADED_FROM"], environment["DBT_WINDOW_TRADED_TO"]) == ("", "")
    assert environment["DBT_WINDOW_RECEIVED_FROM"]


@pytest.fixture
def loaded() -> Callable[..., LoadedBatch]:
    """One batch of a minute."""

    def make(**fields: str | None) -> LoadedBatch:
        values: dict[str, str | None] = {
            "received_at_min": "2026-07-07T22:58:16.000001Z",
            "received_at_max": "2026-07-07T22:59:16.000001Z",
            "traded_at_min": "2026-07-07T22:58:15.000001Z",
            "traded_at_max": "2026-07-07T22:59:15.000001Z",
        }
        return LoadedBatch("0" * 32, 10, **(values | fields))  # type: ignore[arg-type]

    return make


def test_dbt_is_told_where_the_emulator_is() -> None:
    """Target, endpoint and the source's own datasets."""
    config = WarehouseConfig(source=Source.REPLAY, warehouse_url="http://127.0.0.1:9050")

    assert dbt_environment(config) == {
        "DBT_PULSE_TARGET": "emulator",
        "DBT_PULSE_ENDPOINT": "http://127.0.0.1:9050",
        "DBT_PULSE_PROJECT": "market-pulse",
        "DBT_PULSE_LOCATION": "US",
        "DBT_PULSE_RAW_DATASET": "pulse_replay_raw",
        "DBT_PULSE_OPS_DATASET": "pulse_replay_ops",
        "DBT_PULSE_STAGING_DATASET": "pulse_replay_staging",
        "DBT_PULSE_MARTS_DATASET": "pulse_replay_marts",
    }


def test_without_an_endpoint_dbt_talks_to_bigquery() -> None:
    """An empty endpoint, and the target that takes credentials from the environment."""
    environment = dbt_environment(WarehouseConfig())

    assert (environment["DBT_PULSE_TARGET"], environment["DBT_PULSE_ENDPOINT"]) == ("bigquery", "")
    assert environment["DBT_PULSE_RAW_DATASET"] == "pulse_raw"
