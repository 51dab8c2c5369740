"""The marts once more, in Python and Decimal, from the records alone.

Written from docs/marts.md, not from the SQL: it walks minute by minute over all that was received, where the models
join and merge.
"""

from collections.abc import Sequence

from tests.dbt.feed import LoadedBatch, Row
from tests.dbt.oracle.calendars import dates, minutes_of_the_day, sides
from tests.dbt.oracle.figures import ratio
from tests.dbt.oracle.messages import tickers, trades
from tests.dbt.oracle.minutes import minutes, public
from tests.dbt.oracle.products import product_versions, products
from tests.dbt.oracle.reports import dead_letters, feed_hours, freshness, load_batches, schema_drift
from tests.dbt.oracle.spans import candles, completeness_hours, days, market_hours

__all__ = ["freshness", "marts", "ratio", "tickers", "trades"]


def marts(batches: Sequence[LoadedBatch]) -> dict[str, list[Row]]:
    """Every mart by name, sorted by its key; but rpt_freshness, which depends on when it is looked at."""
    all_trades = trades(batches)
    all_minutes = list(minutes(batches, all_trades))
    return {
        "dim_dates": dates(),
        "dim_times": minutes_of_the_day(),
        "dim_sides": sides(),
        "dim_products": products(batches),
        "dim_product_history": product_versions(batches),
        "fct_tickers": tickers(batches),
        "fct_trades": all_trades,
        "fct_candles_1m": [public(minute) for minute in all_minutes],
        "fct_candles_5m": candles(all_minutes, 5),
        "fct_candles_1h": candles(all_minutes, 60),
        "fct_candles_1d": candles(all_minutes, 1440),
        "fct_trades_daily": days(all_minutes),
        "fct_market_hourly": market_hours(all_minutes),
        "fct_completeness_hourly": completeness_hours(all_minutes),
        "rpt_feed_health": feed_hours(batches),
        "rpt_pipeline_batches": load_batches(batches, all_trades),
        "rpt_dead_letters": dead_letters(batches),
        "rpt_schema_drift": schema_drift(batches),
    }
