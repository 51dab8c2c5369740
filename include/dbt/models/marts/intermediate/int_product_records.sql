{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['product_id', 'received_at', 'session_id', 'record_no'],
        cluster_by=['product_id'],
    )
}}

{#- What REST said of each product, kept: raw expires, and the history of a product is made of all of it. -#}

with

records as (

    select * from {{ ref('stg_coinbase__products') }}
    where
        {{ in_window('received_at', 'received') }}
        and product_id is not null

),

final as (

    -- Without batch_id: of a segment that is loaded twice either copy says the same.
    select records.* except (batch_id)
    from records
    inner join {{ ref('stg_ops__batches') }} as batches
        on records.batch_id = batches.batch_id
    where batches.loaded_at is not null
    qualify
        row_number() over (
            partition by
                records.product_id,
                records.received_at,
                records.session_id,
                records.record_no
            order by records.batch_id
        ) = 1

)

select * from final -- noqa: AM04
