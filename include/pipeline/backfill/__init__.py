"""Past data again: the steps of market_pulse_backfill, free of Airflow.

    refetch   trades of any past window, from the exchange's REST API, into the spool
    replay    archived segments again into raw (`include.pipeline.replaying`)
    rebuild   marts of whole days again from raw

Each step can be repeated after it was killed and goes on where it was. What it writes takes the usual way: sealed,
loaded and transformed by market_pulse, so no table ever has two writers.
"""
