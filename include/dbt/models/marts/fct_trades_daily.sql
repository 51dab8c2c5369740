{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['product_id', 'traded_date'],
        incremental_predicates=[
            'DBT_INTERNAL_DEST.traded_date between __near_from_date__ and __near_to_date__',
        ],
        partition_by={'field': 'traded_date', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['product_id'],
    )
}}


{#- The days of the touched products in the window, each made anew from its minutes. -#}

{#- Called outside of the condition, so that dbt sees what it refers to. -#}
{%- set touched_by_window = touched_minutes() %}

with

{% if is_incremental() -%}

touched_products as (

    select distinct touched.product_id
    from ({{ touched_by_window }}) as touched

),

{% endif -%}

candles as (

    select
        candles.*,
        -- A return over minutes that are not known to be whole is none of one minute.
        if(
            candles.is_complete and candles.trade_count > 0,
            {{ squared_return('candles.close', 'candles.previous_close') }},
            null
        ) as squared_return
    from {{ ref('fct_candles_1m') }} as candles
    {% if is_incremental() %}
    inner join touched_products
        on candles.product_id = touched_products.product_id
    {% endif %}
    where {{ in_market_days('candles.traded_date', 1) }}

),

grouped as (

    select
        product_id,
        traded_date,
        {{ of_trades('open', 'first') }} as open,
        max(if(trade_count > 0, high, null)) as high,
        min(if(trade_count > 0, low, null)) as low,
        {{ of_trades('close', 'last') }} as close,
        array_agg(candles.previous_close order by candle_at limit 1)[offset(0)]
            as previous_close,
        sum(trade_count) as trade_count,
        sum(missing_count) as missing_count,
        {%- for measure in [
            'buy_count', 'sell_count', 'price_sum', 'volume', 'notional', 'notional_e8', 'buy_volume', 'sell_volume',
            'realised_variance',
        ] %}
        coalesce(sum({{ measure }}), 0) as {{ measure }},
        {%- endfor %}
        coalesce(sum(squared_return), 0) as squared_returns,
        countif(is_complete) as covered_minutes,
        sum(if(is_complete, trade_count, 0)) as covered_trade_count,
        max(if(is_complete, candle_at, null)) as last_covered_at,
        min(first_trade_id) as first_trade_id,
        max(last_trade_id) as last_trade_id
    from candles
    group by product_id, traded_date

),

compared as (

    select
        *,
        high - low as high_low_range,
        close - previous_close as change_24h
    from grouped

),

{{ with_ratios('compared', 'measured', {
    'average_price': ['price_sum', 'trade_count'],
    'vwap': ['notional_e8', 'volume', 8],
    'average_trade_volume': ['volume', 'trade_count'],
    'high_low_range_percent': ['100 * high_low_range', 'low'],
    'change_24h_percent': ['100 * change_24h', 'previous_close'],
    'trades_per_minute': ['covered_trade_count', 'covered_minutes'],
    'trades_per_hour': ['60 * covered_trade_count', 'covered_minutes'],
    'buy_ratio': ['buy_count', 'trade_count'],
    'buy_volume_ratio': ['buy_volume', 'volume'],
    'sell_pressure_index': ['sell_volume', 'buy_volume'],
    'order_flow_imbalance': ['(buy_volume - sell_volume)', 'volume'],
}) }},

final as (

    select
        ---------- ids
        {{ product_key('product_id') }} as product_key,
        product_id,
        first_trade_id,
        last_trade_id,

        ---------- prices
        open,
        high,
        low,
        close,
        previous_close,
        average_price,
        vwap,
        high_low_range,
        high_low_range_percent,
        change_24h,
        change_24h_percent,
        cast(
            round(sqrt(cast(squared_returns as float64)) / 100, 6) as numeric
        ) as realised_volatility_percent,
        realised_variance,

        ---------- volumes
        volume,
        average_trade_volume,
        buy_volume,
        sell_volume,
        notional,
        buy_volume_ratio,
        sell_pressure_index,
        order_flow_imbalance,

        ---------- counts
        trade_count,
        buy_count,
        sell_count,
        buy_ratio,
        missing_count,
        covered_minutes,
        covered_trade_count,
        trades_per_minute,
        trades_per_hour,

        ---------- booleans
        covered_minutes = 1440 as is_complete,

        ---------- dates and times
        traded_date,
        last_covered_at

    from measured

)

select * from final
