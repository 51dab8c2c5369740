{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['product_id', 'minute_at'],
        incremental_predicates=[
            'DBT_INTERNAL_DEST.traded_date between __market_from_date__ and __market_to_date__',
        ],
        partition_by={'field': 'traded_date', 'data_type': 'date'},
        cluster_by=['product_id'],
    )
}}


{#-
    What is known of each minute by itself: its trades summed up, and the exchange's own counter in its heartbeats.

    The minutes that a window touches are summed up anew from fct_trades, so late, repeated and changed trades count
    once. Heartbeats are folded in by least and greatest, which no order of arrival changes.
-#}

{#- Called outside of the condition, so that dbt sees what it refers to. -#}
{%- set touched_by_window = touched_minutes() %}

with

{% if is_incremental() -%}

touched as (

    {{ touched_by_window }}

),

{% endif -%}

trades as (

    select
        trades.*,
        timestamp_trunc(trades.traded_at, minute) as minute_at
    from {{ ref('fct_trades') }} as trades
    {% if is_incremental() %}
    inner join touched
        on
            trades.product_id = touched.product_id
            and timestamp_trunc(trades.traded_at, minute) = touched.minute_at
    {% endif %}
    where {{ in_market_days('trades.traded_date') }}

),

-- Inside a minute trade_id orders the trades: time does not, many share a microsecond.
sequenced as (

    select
        *,
        lag(trade_id) over (
            partition by product_id, minute_at
            order by trade_id
        ) as previous_trade_id,
        lag(price) over (
            partition by product_id, minute_at
            order by trade_id
        ) as previous_price
    from trades

),

summed_up as (

    select
        product_id,
        minute_at,
        count(*) as trade_count,
        min(trade_id) as first_trade_id,
        max(trade_id) as last_trade_id,
        array_agg(price order by trade_id limit 1)[offset(0)] as open,
        max(price) as high,
        min(price) as low,
        array_agg(price order by trade_id desc limit 1)[offset(0)] as close,
        sum(price) as price_sum,
        sum(size) as volume,
        sum(notional) as notional,
        -- price × (size × 10^8) has no more decimals than price: nothing is rounded on the way to a VWAP.
        sum(
            cast(price * cast(size * 100000000 as numeric) as numeric)
        ) as notional_e8,
        sum(if(taker_side = 'buy', size, 0)) as buy_volume,
        sum(if(taker_side = 'sell', size, 0)) as sell_volume,
        countif(taker_side = 'buy') as buy_count,
        countif(taker_side = 'sell') as sell_count,
        sum({{ squared_return('price', 'previous_price') }})
            as realised_variance,
        countif(spread_bps is not null) as quoted_count,
        sum(if(spread_bps is not null, spread, 0)) as spread_sum,
        sum(coalesce(spread_bps, 0)) as spread_bps_sum,
        countif(liquidity_depth is not null) as sized_count,
        sum(coalesce(liquidity_depth, 0)) as depth_sum,
        string_agg(
            {{ id_range('previous_trade_id + 1', 'trade_id - 1') }},
            ', '
            order by trade_id
        ) as missing_inside
    from sequenced
    group by product_id, minute_at

),

beats as (

    select
        heartbeats.product_id,
        timestamp_trunc(heartbeats.beat_at, minute) as minute_at,
        min(heartbeats.last_trade_id) as least_beat_trade_id,
        max(heartbeats.last_trade_id) as greatest_beat_trade_id,
        max(heartbeats.beat_at) as last_beat_at
    from {{ ref('stg_coinbase__heartbeats') }} as heartbeats
    inner join {{ ref('stg_ops__batches') }} as batches
        on heartbeats.batch_id = batches.batch_id
    where
        {{ in_window('heartbeats.received_at', 'received') }}
        and {{ in_market_days('date(heartbeats.beat_at)') }}
        and {{ is_usable_heartbeat() }}
        and batches.loaded_at is not null
    group by heartbeats.product_id, minute_at

    {% if is_incremental() %}
    union all
    select
        known.product_id,
        known.minute_at,
        known.least_beat_trade_id,
        known.greatest_beat_trade_id,
        known.last_beat_at
    from {{ this }} as known
    inner join touched
        on
            known.product_id = touched.product_id
            and known.minute_at = touched.minute_at
    where
        {{ in_market_days('known.traded_date') }}
        and {{ is_kept('known.traded_date') }}
        and known.last_beat_at is not null
    {% endif %}

),

folded as (

    select
        product_id,
        minute_at,
        min(least_beat_trade_id) as least_beat_trade_id,
        max(greatest_beat_trade_id) as greatest_beat_trade_id,
        max(last_beat_at) as last_beat_at
    from beats
    group by product_id, minute_at

),

joined as (

    select
        coalesce(summed_up.product_id, folded.product_id) as product_id,
        coalesce(summed_up.minute_at, folded.minute_at) as minute_at,
        summed_up.* except (product_id, minute_at),
        folded.* except (product_id, minute_at)
    from summed_up
    full outer join folded
        on
            summed_up.product_id = folded.product_id
            and summed_up.minute_at = folded.minute_at

),

final as (

    select
        ---------- ids
        product_id,
        date(minute_at) as traded_date,
        minute_at,

        ---------- trades
        coalesce(trade_count, 0) as trade_count,
        first_trade_id,
        last_trade_id,
        substr(missing_inside, 1, 500) as missing_inside,
        open,
        high,
        low,
        close,
        price_sum,
        volume,
        notional,
        cast(notional_e8 as numeric) as notional_e8,
        buy_volume,
        sell_volume,
        buy_count,
        sell_count,
        coalesce(realised_variance, 0) as realised_variance,
        quoted_count,
        spread_sum,
        spread_bps_sum,
        sized_count,
        depth_sum,

        ---------- the exchange's counter
        least_beat_trade_id,
        greatest_beat_trade_id,
        last_beat_at

    from joined

)

select * from final
