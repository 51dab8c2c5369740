with

source as (

    select * from {{ source('coinbase', 'messages') }}

),

renamed as (

    select
        ---------- ids
        product_id,
        last_trade_id,
        session_id,
        record_no,
        batch_id,

        ---------- numerics
        sequence,

        ---------- timestamps
        {{ exchange_time('time') }} as beat_at,
        received_at

    from source
    where type = 'heartbeat'

)

select * from renamed
