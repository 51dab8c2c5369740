{{ config(materialized='view') }}

with

final as (

    select
        1 as side_key,
        'buy' as side,
        'The taker bought: it met a waiting sell order and lifts the price.'
            as explanation
    union all
    select
        2 as side_key,
        'sell' as side,
        'The taker sold: it met a waiting buy order and lowers the price.'
            as explanation

)

select * from final
