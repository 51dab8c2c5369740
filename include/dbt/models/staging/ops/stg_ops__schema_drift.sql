with

source as (

    select * from {{ source('ops', 'schema_drift') }}

),

renamed as (

    select
        ---------- ids
        type as message_type,
        field as field_name,
        kind as drift_kind,

        ---------- text
        example,

        ---------- numerics
        messages as message_count,
        segments as segment_count,

        ---------- timestamps
        first_seen as first_seen_at,
        last_seen as last_seen_at

    from source

)

select * from renamed
