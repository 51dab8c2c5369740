with

source as (

    select * from {{ source('ops', 'dead_letters') }}

),

renamed as (

    select
        ---------- ids
        segment,
        line_no,
        record_no,
        batch_id,

        ---------- text
        reason,
        error as error_text,
        line as line_text,
        redriven_to,

        ---------- numerics
        line_bytes,

        ---------- booleans
        is_loaded,

        ---------- timestamps
        received_at,
        first_seen as first_seen_at,
        redriven_at

    from source

)

select * from renamed
