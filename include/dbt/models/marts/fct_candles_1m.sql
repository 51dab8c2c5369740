{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['product_id', 'candle_at'],
        incremental_predicates=[
            'DBT_INTERNAL_DEST.traded_date between __near_from_date__ and __near_to_date__',
        ],
        partition_by={'field': 'traded_date', 'data_type': 'date'},
        cluster_by=['product_id'],
    )
}}


{#-
    Every minute, with the proof that it is whole.

    The exchange numbers a product's trades 1, 2, 3 … and names the newest in every heartbeat. So a minute is complete
    iff its known ids have no hole, its first id is one more than what was known before it, and what is known after it
    begins one more than its last id; a minute without trades is complete iff before and after it the same id is named.
    `before` and `after` are the nearest minutes with a trade or a heartbeat.

    A minute that is touched may change what its neighbours know: exactly those are made anew with it.
-#}

{%- set near = neighbour_minutes() | trim %}

{#- Called outside of the condition, so that dbt sees what it refers to. -#}
{%- set touched_by_window = touched_minutes() %}

with

{% if is_incremental() -%}

touched as (

    {{ touched_by_window }}

),

touched_products as (

    select distinct product_id from touched

),

{% endif -%}

minutes as (

    select
        minutes.*,
        {{ 'touched.minute_at is not null' if is_incremental() else 'true' }} as is_touched
    from {{ ref('int_product_minutes') }} as minutes
    {% if is_incremental() %}
    inner join touched_products
        on minutes.product_id = touched_products.product_id
    left join touched
        on
            minutes.product_id = touched.product_id
            and minutes.minute_at = touched.minute_at
    {% endif %}
    where {{ in_market_days('minutes.traded_date', 2) }}

),

-- The nearest minutes of which something is known, and the newest price before.
beside as (

    select
        *,
        lag(minute_at) over nearest as before_at,
        lag(last_trade_id) over nearest as before_trade_id,
        lag(greatest_beat_trade_id) over nearest as before_beat_id,
        lag(is_touched) over nearest as is_before_touched,
        lead(minute_at) over nearest as after_at,
        lead(first_trade_id) over nearest as after_trade_id,
        lead(least_beat_trade_id) over nearest as after_first_beat_id,
        lead(greatest_beat_trade_id) over nearest as after_last_beat_id,
        lead(is_touched) over nearest as is_after_touched,
        last_value(close ignore nulls) over earlier as earlier_close,
        last_value(if(trade_count > 0, minute_at, null) ignore nulls)
            over earlier as earlier_at,
        last_value(if(trade_count > 0, is_touched, null) ignore nulls)
            over earlier as is_earlier_touched
    from minutes
    window
        nearest as (partition by product_id order by minute_at),
        earlier as (
            partition by product_id order by minute_at
            rows between unbounded preceding and 1 preceding
        )

),

ranged as (

    select
        *,
        coalesce(
            timestamp_diff(minute_at, before_at, minute) <= {{ near }}, false
        ) as is_before_near,
        coalesce(
            timestamp_diff(after_at, minute_at, minute) <= {{ near }}, false
        ) as is_after_near
    from beside

),

-- One row for the minute itself, and one for each minute up to the next of which something is known.
spread_out as (

    select
        ranged.* except (
            before_trade_id, before_beat_id, after_trade_id,
            after_first_beat_id, after_last_beat_id, earlier_close, earlier_at,
            is_earlier_touched
        ),
        candle_at,
        candle_at = minute_at as is_itself,
        case
            when candle_at > minute_at then last_trade_id
            when is_before_near then before_trade_id
        end as before_trade_id,
        case
            when candle_at > minute_at then greatest_beat_trade_id
            when is_before_near then before_beat_id
        end as before_beat_id,
        if(is_after_near, after_trade_id - 1, null) as id_before_next_trade,
        if(is_after_near, after_first_beat_id, null) as after_first_beat_id,
        if(is_after_near, after_last_beat_id, null) as after_last_beat_id,
        if(candle_at > minute_at and trade_count > 0, close, earlier_close)
            as earlier_close,
        if(candle_at > minute_at and trade_count > 0, minute_at, earlier_at)
            as earlier_at,
        if(
            candle_at > minute_at and trade_count > 0,
            is_touched,
            is_earlier_touched
        ) as is_earlier_touched
    from ranged
    cross join unnest(
        generate_timestamp_array(
            minute_at,
            if(
                is_after_near,
                timestamp_sub(after_at, interval 1 minute),
                minute_at
            ),
            interval 1 minute
        )
    ) as candle_at

),

known as (

    select
        *,
        greatest(
            coalesce(before_trade_id, before_beat_id),
            coalesce(before_beat_id, before_trade_id)
        ) as before_id,
        -- A heartbeat may name a trade whose own time lies in the next minute: that one is not missing in this.
        if(
            is_itself,
            least(
                greatest_beat_trade_id,
                coalesce(id_before_next_trade, greatest_beat_trade_id)
            ),
            null
        ) as counted_to,
        coalesce(
            timestamp_diff(candle_at, earlier_at, minute) <= {{ near }}, false
        ) as is_earlier_near
    from spread_out
    {% if is_incremental() %}
    where
        is_touched
        or (is_itself and is_before_near and is_before_touched)
        or (is_after_near and is_after_touched)
        or is_earlier_touched
    {% endif %}

),

proven as (

    select
        *,
        is_itself and trade_count > 0 as has_trades,
        case
            when is_itself and trade_count > 0
                then
                    last_trade_id - first_trade_id + 1 = trade_count
                    and coalesce(
                        first_trade_id = 1
                        or before_trade_id = first_trade_id - 1
                        or before_beat_id = first_trade_id - 1,
                        false
                    )
                    and coalesce(
                        id_before_next_trade = last_trade_id
                        or after_first_beat_id = last_trade_id
                        or after_last_beat_id = last_trade_id,
                        false
                    )
            else coalesce(
                    before_id = id_before_next_trade
                    or before_id = after_first_beat_id
                    or before_id = after_last_beat_id,
                    false
                )
        end as is_complete,
        if(
            is_itself,
            {{ id_range('before_id + 1', 'coalesce(first_trade_id - 1, counted_to)') }},
            null
        ) as missing_at_start,
        if(
            is_itself,
            greatest(
                coalesce(coalesce(first_trade_id - 1, counted_to) - before_id, 0),
                0
            )
            + coalesce(last_trade_id - first_trade_id + 1 - trade_count, 0)
            + greatest(coalesce(counted_to - last_trade_id, 0), 0),
            0
        ) as missing_count,
        if(
            is_itself, {{ id_range('last_trade_id + 1', 'counted_to') }}, null
        ) as missing_at_end,
        if(is_earlier_near, earlier_close, null) as previous_close
    from known

),

-- A minute without trades has the price before it and no volume, if it is known that there was none.
filled as (

    select
        product_id,
        candle_at,
        previous_close,
        is_complete,
        is_complete and not has_trades as is_gap_filled,
        if(has_trades, trade_count, 0) as trade_count,
        {%- for price in ['open', 'high', 'low', 'close'] %}
        case
            when has_trades then {{ price }} when is_complete then previous_close
        end as {{ price }},
        {%- endfor %}
        {%- for measure in candle_sums() %}
        case when has_trades then {{ measure }} when is_complete then 0 end
            as {{ measure }},
        {%- endfor %}
        if(has_trades, first_trade_id, null) as first_trade_id,
        if(has_trades, last_trade_id, null) as last_trade_id,
        missing_count,
        nullif(array_to_string(
            [
                missing_at_start,
                if(has_trades, missing_inside, null),
                missing_at_end
            ],
            ', '
        ), '') as missing_trade_ids
    from proven

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

        ---------- text
        missing_trade_ids,

        ---------- numerics
        {{ candle_measures() }}

        ---------- booleans
        is_gap_filled,
        is_complete,

        ---------- dates and times
        date(candle_at) as traded_date,
        candle_at

    from measured

)

select * from final
