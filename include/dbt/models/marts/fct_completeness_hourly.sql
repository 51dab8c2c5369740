{{ config(materialized='view') }}

with

candles as (

    select * from {{ ref('fct_candles_1m') }}

),

grouped as (

    select
        product_id,
        traded_date,
        timestamp_trunc(candle_at, hour) as hour_at,
        sum(trade_count) as known_count,
        sum(missing_count) as missing_count,
        countif(is_complete) as covered_minutes,
        min(first_trade_id) as first_trade_id,
        max(last_trade_id) as last_trade_id,
        substr(string_agg(missing_trade_ids, ', ' order by candle_at), 1, 1000)
            as missing_trade_ids
    from candles
    group by product_id, traded_date, hour_at

),

counted as (

    select
        *,
        known_count + missing_count as expected_count
    from grouped

),

{{ with_ratios('counted', 'measured', {'completeness_percent': ['100 * known_count', 'expected_count']}) }},

final as (

    select
        ---------- ids
        {{ product_key('product_id') }} as product_key,
        {{ time_key('hour_at') }} as time_key,
        product_id,
        first_trade_id,
        last_trade_id,

        ---------- text
        missing_trade_ids,

        ---------- numerics
        expected_count,
        known_count,
        missing_count,
        completeness_percent,
        covered_minutes,

        ---------- booleans
        covered_minutes = 60 as is_complete,

        ---------- dates and times
        traded_date,
        hour_at

    from measured

)

select * from final
