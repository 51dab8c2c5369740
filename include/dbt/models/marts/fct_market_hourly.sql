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
        sum(trade_count) as trade_count,
        countif(is_complete) as covered_minutes,
        sum(price_sum) as price_sum,
        sum(volume) as volume,
        sum(notional_e8) as notional_e8,
        sum(quoted_count) as quoted_count,
        sum(spread_sum) as spread_sum,
        sum(spread_bps_sum) as spread_bps_sum,
        sum(sized_count) as sized_count,
        sum(depth_sum) as depth_sum
    from candles
    group by product_id, traded_date, hour_at

),

{{ with_ratios('grouped', 'measured', {
    'average_liquidity_depth': ['depth_sum', 'sized_count'],
    'average_spread': ['spread_sum', 'quoted_count'],
    'average_spread_percent': ['spread_bps_sum', '100 * quoted_count'],
    'average_price': ['price_sum', 'trade_count'],
    'vwap': ['notional_e8', 'volume', 8],
}) }},

final as (

    select
        ---------- ids
        {{ product_key('product_id') }} as product_key,
        {{ time_key('hour_at') }} as time_key,
        product_id,

        ---------- numerics
        average_liquidity_depth,
        average_spread,
        average_spread_percent,
        average_price,
        vwap,
        volume,
        trade_count,
        covered_minutes,

        ---------- dates and times
        traded_date,
        hour_at

    from measured

)

select * from final
