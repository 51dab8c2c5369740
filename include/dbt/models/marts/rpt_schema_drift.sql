{{ config(materialized='view') }}

with

drift as (

    select * from {{ ref('stg_ops__schema_drift') }}

),

final as (

    select
        ---------- ids
        message_type,
        field_name,
        drift_kind,

        ---------- text
        example,

        ---------- numerics
        message_count,
        segment_count,

        ---------- timestamps
        first_seen_at,
        last_seen_at

    from drift

)

select * from final
