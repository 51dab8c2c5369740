{{ config(materialized='view') }}

with

letters as (

    select * from {{ ref('stg_ops__dead_letters') }}

),

final as (

    select
        ---------- ids
        segment,
        line_no,
        record_no,
        batch_id,

        ---------- text
        reason,
        error_text,
        substr(line_text, 1, 1000) as line_start,
        redriven_to,

        ---------- numerics
        line_bytes,

        ---------- booleans
        is_loaded,
        redriven_at is null as is_open,

        ---------- timestamps
        received_at,
        first_seen_at,
        redriven_at

    from letters

)

select * from final
