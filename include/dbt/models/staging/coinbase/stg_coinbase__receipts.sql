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
        type as message_type,

        ---------- timestamps
        {{ exchange_time('time') }} as sent_at,
        received_at

    from source

)

select * from renamed
