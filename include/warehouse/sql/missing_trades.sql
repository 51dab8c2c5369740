-- Ranges of trade ids that the marts have not, both ends inclusive.
with

known as (

    select trade_id
    from `{fct_trades}`
    where
        product_id = @product_id
        and trade_id between @first and @last
        and traded_date between cast(@from_date as date)
        and cast(@to_date as date)

),

-- One past the end closes the last range.
edges as (

    select
        trade_id,
        coalesce(lag(trade_id) over (order by trade_id), @first - 1)
            as previous_id
    from (
        select trade_id from known
        union all
        select @last + 1
    ) as ids

)

select
    previous_id + 1 as first,
    trade_id - 1 as last
from edges
where trade_id > previous_id + 1
order by first
