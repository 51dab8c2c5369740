with

source as (

    select * from {{ source('ops', 'segments') }}

),

renamed as (

    select
        ---------- ids
        segment,
        streamer_id,
        session_id,
        segment_no,
        first_record_no,
        last_record_no,
        batch_id,

        ---------- numerics
        records as record_count,
        bytes as byte_count,

        ---------- timestamps
        received_at_min as first_received_at,
        received_at_max as last_received_at,
        sealed_at,
        loaded_at

    from source

)

select * from renamed
