{#- The first (or last) value of a column among the rows with trades, in the order of candle_at; null without one. -#}
{% macro of_trades(column, end) -%}
    array_agg(
        if(trade_count > 0, {{ column }}, null)
        order by if(trade_count > 0, 0, 1), candle_at{{ ' desc' if end == 'last' }}
        limit 1
    )[offset(0)]
{%- endmacro %}

{#- What candles of every length have in common: quotients of their sums. -#}
{% macro candle_ratios() -%}
    {{ return({
        'average_price': ['price_sum', 'trade_count'],
        'vwap': ['notional_e8', 'volume', 8],
        'order_flow_imbalance': ['(buy_volume - sell_volume)', 'volume'],
        'average_spread': ['spread_sum', 'quoted_count'],
        'average_spread_bps': ['spread_bps_sum', 'quoted_count'],
        'average_depth': ['depth_sum', 'sized_count'],
    }) }}
{%- endmacro %}

{#- The sums themselves: they add up to those of any longer time. -#}
{% macro candle_sums() -%}
    {{ return([
        'price_sum', 'volume', 'notional', 'notional_e8', 'buy_volume', 'sell_volume', 'buy_count', 'sell_count',
        'realised_variance', 'quoted_count', 'spread_sum', 'spread_bps_sum', 'sized_count', 'depth_sum',
    ]) }}
{%- endmacro %}

{#- The numeric columns of a candle, in the order of the contract. -#}
{% macro candle_measures() -%}
    open,
        high,
        low,
        close,
        previous_close,
        average_price,
        vwap,
        trade_count,
        buy_count,
        sell_count,
        missing_count,
        volume,
        buy_volume,
        sell_volume,
        order_flow_imbalance,
        notional,
        realised_variance,
        average_spread,
        average_spread_bps,
        average_depth,
        quoted_count,
        sized_count,
        price_sum,
        notional_e8,
        spread_sum,
        spread_bps_sum,
        depth_sum,
{%- endmacro %}

{#-
    Candles of `minutes` minutes each, made of fct_candles_1m, as a whole query.

    A longer candle is complete iff all its minutes are. Without a trade it carries the price before it if it is
    complete, and has none otherwise.
-#}
{% macro candles(minutes) -%}
with

grouped as (

    select
        product_id,
        traded_date,
        timestamp_seconds(
            div(unix_seconds(candle_at), {{ 60 * minutes }}) * {{ 60 * minutes }}
        ) as candle_at,
        sum(trade_count) as trade_count,
        {{ of_trades('open', 'first') }} as first_open,
        max(if(trade_count > 0, high, null)) as highest,
        min(if(trade_count > 0, low, null)) as lowest,
        {{ of_trades('close', 'last') }} as last_close,
        array_agg(candles.previous_close order by candle_at limit 1)[offset(0)]
            as previous_close,
        min(first_trade_id) as first_trade_id,
        max(last_trade_id) as last_trade_id,
        sum(missing_count) as missing_count,
        {%- for measure in candle_sums() %}
        sum({{ measure }}) as {{ measure }},
        {%- endfor %}
        countif(is_complete) as covered_minutes
    from {{ ref('fct_candles_1m') }} as candles
    group by product_id, traded_date, 3

),

filled as (

    select
        * except (first_open, highest, lowest, last_close),
        covered_minutes = {{ minutes }} as is_complete,
        covered_minutes = {{ minutes }} and trade_count = 0 as is_gap_filled,
        {%- for price, of_trades in {
            'open': 'first_open', 'high': 'highest', 'low': 'lowest', 'close': 'last_close'
        }.items() %}
        coalesce(
            {{ of_trades }},
            if(covered_minutes = {{ minutes }}, previous_close, null)
        ) as {{ price }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from grouped

),

{{ with_ratios('filled', 'measured', candle_ratios()) }},

final as (

    select
        ---------- ids
        {{ product_key('product_id') }} as product_key,
        {{ time_key('candle_at') }} as time_key,
        product_id,
        first_trade_id,
        last_trade_id,

        ---------- numerics
        {{ candle_measures() }}
        covered_minutes,

        ---------- booleans
        is_gap_filled,
        is_complete,

        ---------- dates and times
        traded_date,
        candle_at

    from measured

)

select * from final
{%- endmacro %}
