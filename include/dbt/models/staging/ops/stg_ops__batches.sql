with

source as (

    select * from {{ source('ops', 'batches') }}

),

renamed as (

    select
        ---------- ids
        batch_id,
        dag_run_id,
        job_id,

        ---------- text
        -- A bare `source` would be the whole row of the CTE.
        source.source as data_source,

        ---------- numerics
        attempt,
        array_length(segments) as segment_count,
        records as record_count,
        bytes as byte_count,
        output_rows as loaded_count,

        ---------- timestamps
        received_at_min as first_received_at,
        received_at_max as last_received_at,
        traded_at_min as first_traded_at,
        traded_at_max as last_traded_at,
        composed_at,
        loaded_at,
        transformed_at

    from source

)

select * from renamed
