with

source as (

    select * from {{ source('coinbase', 'messages') }}

),

renamed as (

    select
        ---------- ids
        streamer_id,
        session_id,
        record_no,
        connection_no,
        batch_id,
        product_id,

        ---------- text
        type as control_type,
        coalesce(
            json_value(detail, '$.reason'),
            json_value(detail, '$.detected_by'),
            json_value(detail, '$.stage'),
            json_value(detail, '$.state'),
            json_value(detail, '$.level')
        ) as reason,
        json_value(detail, '$.error') as error_text,

        ---------- numerics
        safe_cast(json_value(detail, '$.first_missing') as int64)
            as first_missing_trade_id,
        safe_cast(json_value(detail, '$.last_missing') as int64)
            as last_missing_trade_id,
        safe_cast(json_value(detail, '$.first') as int64)
            as first_closed_trade_id,
        safe_cast(json_value(detail, '$.last') as int64)
            as last_closed_trade_id,
        safe_cast(json_value(detail, '$.step_us') as int64) as clock_step_us,
        safe_cast(json_value(detail, '$.durable_p50_us') as int64)
            as durable_p50_us,
        safe_cast(json_value(detail, '$.durable_p95_us') as int64)
            as durable_p95_us,
        safe_cast(json_value(detail, '$.durable_p99_us') as int64)
            as durable_p99_us,
        safe_cast(json_value(detail, '$.seconds') as numeric) as seconds,

        ---------- semi-structured
        detail,

        ---------- timestamps
        received_at

    from source
    where starts_with(type, 'pulse_')

)

select * from renamed
