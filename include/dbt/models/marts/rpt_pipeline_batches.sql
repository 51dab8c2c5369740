{{ config(materialized='view') }}

{%- set stages = ['exchange_to_received', 'received_to_sealed', 'exchange_to_mart'] %}

with

batches as (

    select * from {{ ref('stg_ops__batches') }}

),

segments as (

    select * from {{ ref('stg_ops__segments') }}

),

sealed as (

    select
        batch_id,
        min(sealed_at) as first_sealed_at,
        max(sealed_at) as last_sealed_at
    from segments
    group by batch_id

),

trades as (

    select
        trades.batch_id,
        timestamp_diff(trades.received_at, trades.traded_at, microsecond)
            as exchange_to_received_us,
        timestamp_diff(segments.sealed_at, trades.received_at, microsecond)
            as received_to_sealed_us,
        timestamp_diff(batches.transformed_at, trades.traded_at, microsecond)
            as exchange_to_mart_us
    from {{ ref('fct_trades') }} as trades
    inner join batches on trades.batch_id = batches.batch_id
    left join segments
        on
            trades.batch_id = segments.batch_id
            and trades.session_id = segments.session_id
            and trades.record_no >= segments.first_record_no
            and trades.record_no <= segments.last_record_no
    -- A trade that a last_match told of, or REST, was not under way since its own time.
    where not trades.is_last_match and trades.source = 'ws'

),

durable as (

    select
        segments.batch_id,
        max(health.durable_p50_us) as received_to_durable_p50_us,
        max(health.durable_p95_us) as received_to_durable_p95_us,
        max(health.durable_p99_us) as received_to_durable_p99_us
    from segments
    inner join {{ ref('rpt_feed_health') }} as health
        on
            segments.session_id = health.session_id
            and timestamp_trunc(segments.first_received_at, hour)
            <= health.hour_at
            and segments.last_received_at >= health.hour_at
    group by segments.batch_id

),

latencies as (

    select
        batch_id,
        {%- for stage in stages %}
        {%- for percent in [50, 95, 99] %}
        {{ percentile(stage ~ '_us', percent) }} as {{ stage }}_p{{ percent }}_us,
        {%- endfor %}
        {%- endfor %}
        count(*) as timed_trade_count
    from trades
    group by batch_id

),

final as (

    select
        ---------- ids
        batches.batch_id,
        batches.dag_run_id,
        batches.job_id,

        ---------- text
        case
            when batches.transformed_at is not null then 'transformed'
            when batches.loaded_at is not null then 'loaded'
            else 'composed'
        end as state,

        ---------- numerics
        batches.attempt,
        batches.segment_count,
        batches.record_count,
        batches.byte_count,
        batches.loaded_count,
        coalesce(latencies.timed_trade_count, 0) as timed_trade_count,
        {%- for stage in stages %}
        {%- for percent in [50, 95, 99] %}
        latencies.{{ stage }}_p{{ percent }}_us,
        {%- endfor %}
        {%- endfor %}
        durable.received_to_durable_p50_us,
        durable.received_to_durable_p95_us,
        durable.received_to_durable_p99_us,
        timestamp_diff(batches.loaded_at, sealed.first_sealed_at, microsecond)
            as sealed_to_loaded_us,
        timestamp_diff(batches.transformed_at, batches.loaded_at, microsecond)
            as loaded_to_mart_us,

        ---------- timestamps
        batches.first_received_at,
        batches.last_received_at,
        batches.first_traded_at,
        batches.last_traded_at,
        sealed.first_sealed_at,
        sealed.last_sealed_at,
        batches.composed_at,
        batches.loaded_at,
        batches.transformed_at

    from batches
    left join sealed on batches.batch_id = sealed.batch_id
    left join durable on batches.batch_id = durable.batch_id
    left join latencies on batches.batch_id = latencies.batch_id

)

select * from final
