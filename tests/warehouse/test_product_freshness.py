"""What the warehouse knows of each product's newest trade and heartbeat."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from include.warehouse.batches import Batch
from include.warehouse.freshness import Freshness, ProductFreshness, read
from include.warehouse.warehouse import Warehouse

NOW = datetime(2026, 7, 7, 23, 0, tzinfo=UTC)


def make_marts(warehouse: Warehouse) -> None:
    """The three marts that are read: one product that trades, one that is quiet for days, one that was never traded."""
    marts = warehouse.config.datasets().marts
    warehouse.client.query_and_wait(
        f"create table `{marts}.fct_trades` as select 'BTC-USD' as product_id, 7 as trade_id,"
        f" timestamp '2026-07-07 22:59:00+00' as traded_at, date '2026-07-07' as traded_date"
        f" union all select 'BTC-USD', 6, timestamp '2026-07-07 22:58:00+00', date '2026-07-07'"
        f" union all select 'SKL-GBP', 3, timestamp '2026-07-01 00:00:00+00', date '2026-07-01'"
    )
    warehouse.client.query_and_wait(
        f"create table `{marts}.fct_trades_daily` as select 'BTC-USD' as product_id, 7 as last_trade_id"
        f" union all select 'SKL-GBP', 2 union all select 'SKL-GBP', 3"
    )
    warehouse.client.query_and_wait(
        f"create table `{marts}.dim_products` as"
        f" select 'BTC-USD' as product_id, timestamp '2026-07-07 22:59:00+00' as last_traded_at"
        f" union all select 'SKL-GBP', timestamp '2026-07-01 00:00:00+00'"
        f" union all select 'NEW-USD', null"
    )


def insert_heartbeat(warehouse: Warehouse, product_id: str, received_at: datetime, last_trade_id: int) -> None:
    warehouse.client.query_and_wait(
        f"insert into `{warehouse.messages_id}` (batch_id, received_at, streamer_id, session_id, record_no,"
        f" connection_no, type, product_id, last_trade_id)"
        f" values ('b', timestamp '{received_at:%Y-%m-%d %H:%M:%S}+00', 's', 's', {last_trade_id}, 1, 'heartbeat',"
        f" '{product_id}', {last_trade_id})"
    )


def test_each_product_with_its_newest_trade_and_heartbeat(
    new_warehouse: Warehouse, batch: Callable[..., Batch]
) -> None:
    """Trades of quiet products come from the small marts; old heartbeats are not looked at."""
    make_marts(new_warehouse)
    for seconds, last_trade_id in ((30, 8), (20, 9)):
        insert_heartbeat(new_warehouse, "BTC-USD", NOW - timedelta(seconds=seconds), last_trade_id)
    insert_heartbeat(new_warehouse, "SKL-GBP", NOW - timedelta(days=2), 3)
    insert_heartbeat(new_warehouse, "ETH-USD", NOW - timedelta(seconds=10), 4)
    loaded = batch()
    new_warehouse.ledger.compose(loaded, dag_run_id="run")
    new_warehouse.ledger.mark_loaded(loaded, job_id="job", output_rows=10, loaded_at=NOW)

    found = read(new_warehouse.statements, now=NOW)

    expected = {
        "BTC-USD": (datetime(2026, 7, 7, 22, 59, tzinfo=UTC), 7, NOW - timedelta(seconds=20), 9),
        "ETH-USD": (None, None, NOW - timedelta(seconds=10), 4),
        "NEW-USD": (None, None, None, None),
        "SKL-GBP": (datetime(2026, 7, 1, tzinfo=UTC), 3, None, None),
    }
    assert found.products == tuple(
        ProductFreshness(product_id=name, traded_at=at, trade_id=number, beat_at=beat, last_trade_id=last)
        for name, (at, number, beat, last) in expected.items()
    )
    assert found.received_at == datetime.fromisoformat(loaded.received_at_max)


def test_before_the_first_run_there_is_nothing_and_no_error(new_warehouse: Warehouse) -> None:
    """The marts do not exist yet."""
    assert read(new_warehouse.statements, now=NOW) == Freshness(products=(), received_at=None)
