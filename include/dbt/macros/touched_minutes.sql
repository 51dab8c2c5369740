{#-
    A query of the product-minutes that the messages of this run's window touch: of their trades, their quotes and their
    heartbeats. Only for an incremental run.

    Of a rebuild the window's receipts also tell of trades of other days, which it does not read, and so cannot sum up.
-#}
{% macro touched_minutes() -%}
    select distinct
        product_id,
        timestamp_trunc(traded_at, minute) as minute_at
    from {{ ref('stg_coinbase__matches') }}
    where
        {{ in_window('received_at', 'received') }}
        and {{ in_market_days('date(traded_at)') }}
        and {{ is_usable_trade() }}
    union distinct
    select distinct
        product_id,
        timestamp_trunc(traded_at, minute) as minute_at
    from {{ ref('stg_coinbase__tickers') }}
    where
        {{ in_window('received_at', 'received') }}
        and {{ in_market_days('date(traded_at)') }}
        and {{ is_usable_ticker() }}
    union distinct
    select distinct
        product_id,
        timestamp_trunc(beat_at, minute) as minute_at
    from {{ ref('stg_coinbase__heartbeats') }}
    where
        {{ in_window('received_at', 'received') }}
        and {{ in_market_days('date(beat_at)') }}
        and {{ is_usable_heartbeat() }}
{%- endmacro %}
