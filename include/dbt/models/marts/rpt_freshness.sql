{{ config(materialized='view') }}

with

days as (

    select
        product_id,
        max(last_covered_at) as last_covered_at
    from {{ ref('fct_trades_daily') }}
    group by product_id

),

batches as (

    select
        max(loaded_at) as last_loaded_at,
        max(transformed_at) as last_transformed_at,
        countif(loaded_at is not null and transformed_at is null)
            as waiting_batch_count
    from {{ ref('stg_ops__batches') }}

),

final as (

    select
        ---------- ids
        products.product_key,
        products.product_id,

        ---------- numerics
        timestamp_diff(
            current_timestamp(), products.last_traded_at, second
        ) as last_trade_age_seconds,
        timestamp_diff(
            current_timestamp(),
            timestamp_add(days.last_covered_at, interval 1 minute),
            second
        ) as covered_age_seconds,
        timestamp_diff(current_timestamp(), batches.last_loaded_at, second)
            as load_age_seconds,
        batches.waiting_batch_count,

        ---------- timestamps
        products.last_traded_at,
        days.last_covered_at,
        batches.last_loaded_at,
        batches.last_transformed_at

    from {{ ref('dim_products') }} as products
    left join days on products.product_id = days.product_id
    cross join batches

)

select * from final
