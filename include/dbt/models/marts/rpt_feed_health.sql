{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['hour_at', 'session_id', 'product_id'],
        incremental_predicates=[
            'DBT_INTERNAL_DEST.received_date between __received_from_date__ and __received_to_date__',
        ],
        partition_by={'field': 'received_date', 'data_type': 'date'},
        cluster_by=['product_id'],
    )
}}

{#- The hours the window's receipts lie in, each counted anew from raw. A table, because raw expires. -#}

with

receipts as (

    select
        receipts.*,
        if(
            receipts.message_type = 'match',
            timestamp_diff(receipts.received_at, receipts.sent_at, microsecond),
            null
        ) as latency_us
    from {{ ref('stg_coinbase__receipts') }} as receipts
    inner join {{ ref('stg_ops__batches') }} as batches
        on receipts.batch_id = batches.batch_id
    where
        {{ in_window_hours('receipts.received_at') }}
        and batches.loaded_at is not null
    -- A segment that was loaded twice counts once.
    qualify
        row_number() over (
            partition by receipts.session_id, receipts.record_no
            order by receipts.batch_id
        ) = 1

),

rejected as (

    select distinct
        session_id,
        record_no
    from {{ ref('stg_coinbase__rejected') }}
    where
        {{ in_window_hours('received_at') }}
        and not is_used

),

controls as (

    select distinct
        session_id,
        record_no,
        last_missing_trade_id - first_missing_trade_id + 1 as missing_count,
        last_closed_trade_id - first_closed_trade_id + 1 as closed_count,
        durable_p50_us,
        durable_p95_us,
        durable_p99_us
    from {{ ref('stg_coinbase__controls') }}
    where {{ in_window_hours('received_at') }}

),

seconds as (

    select
        timestamp_trunc(received_at, hour) as hour_at,
        session_id,
        coalesce(product_id, '(none)') as product_id,
        timestamp_trunc(received_at, second) as second_at,
        count(*) as message_count
    from receipts
    group by 1, 2, 3, 4

),

peaks as (

    select
        hour_at,
        session_id,
        product_id,
        max(message_count) as peak_messages_per_second
    from seconds
    group by 1, 2, 3

),

grouped as (

    select
        timestamp_trunc(receipts.received_at, hour) as hour_at,
        receipts.streamer_id,
        receipts.session_id,
        coalesce(receipts.product_id, '(none)') as product_id,
        count(*) as message_count,
        countif(receipts.message_type in ('match', 'last_match'))
            as match_count,
        countif(receipts.message_type = 'ticker') as ticker_count,
        countif(receipts.message_type = 'heartbeat') as heartbeat_count,
        countif(rejected.record_no is not null) as rejected_count,
        countif(receipts.message_type = 'pulse_connected') as connected_count,
        countif(receipts.message_type = 'pulse_disconnected')
            as disconnected_count,
        countif(receipts.message_type = 'pulse_back_pressure')
            as back_pressure_count,
        countif(receipts.message_type = 'pulse_gap') as gap_count,
        coalesce(sum(controls.missing_count), 0) as gap_trade_count,
        coalesce(sum(controls.closed_count), 0) as closed_trade_count,
        min(receipts.received_at) as first_received_at,
        max(receipts.received_at) as last_received_at,
        {{ percentile('receipts.latency_us', 50) }} as latency_p50_us,
        {{ percentile('receipts.latency_us', 95) }} as latency_p95_us,
        {{ percentile('receipts.latency_us', 99) }} as latency_p99_us,
        max(controls.durable_p50_us) as durable_p50_us,
        max(controls.durable_p95_us) as durable_p95_us,
        max(controls.durable_p99_us) as durable_p99_us
    from receipts
    left join rejected
        on
            receipts.session_id = rejected.session_id
            and receipts.record_no = rejected.record_no
    left join controls
        on
            receipts.session_id = controls.session_id
            and receipts.record_no = controls.record_no
    group by 1, 2, 3, 4

),

observed as (

    select
        grouped.*,
        peaks.peak_messages_per_second,
        -- The whole seconds in which the first and the last message lie, and those between.
        1 + timestamp_diff(
            timestamp_trunc(grouped.last_received_at, second),
            timestamp_trunc(grouped.first_received_at, second),
            second
        ) as observed_seconds
    from grouped
    inner join peaks
        on
            grouped.hour_at = peaks.hour_at
            and grouped.session_id = peaks.session_id
            and grouped.product_id = peaks.product_id

),

{{ with_ratios('observed', 'measured', {'messages_per_second': ['message_count', 'observed_seconds']}) }},

final as (

    select
        ---------- ids
        streamer_id,
        session_id,
        product_id,

        ---------- numerics
        message_count,
        messages_per_second,
        peak_messages_per_second,
        observed_seconds,
        match_count,
        ticker_count,
        heartbeat_count,
        rejected_count,
        connected_count,
        disconnected_count,
        back_pressure_count,
        gap_count,
        gap_trade_count,
        closed_trade_count,
        latency_p50_us,
        latency_p95_us,
        latency_p99_us,
        durable_p50_us,
        durable_p95_us,
        durable_p99_us,

        ---------- dates and times
        date(hour_at) as received_date,
        hour_at,
        first_received_at,
        last_received_at

    from measured

)

select * from final
