-- Per product: the newest trade that is in the marts, and the newest heartbeat that was loaded. `since` bounds what is
-- read of raw and of fct_trades; of products that are quiet for longer the small marts know the last trade.
with

trades as (
    select
        product_id,
        max(traded_at) as traded_at,
        max(trade_id) as trade_id
    from `{fct_trades}`
    where traded_date >= date(@since)
    group by product_id
),

older_ids as (
    select
        product_id,
        max(last_trade_id) as trade_id
    from `{fct_trades_daily}`
    group by product_id
),

older as (
    select
        products.product_id,
        products.last_traded_at as traded_at,
        older_ids.trade_id
    from `{dim_products}` as products
    left join older_ids on products.product_id = older_ids.product_id
),

beats as (
    select
        product_id,
        max(received_at) as beat_at,
        max(last_trade_id) as last_trade_id
    from `{messages}`
    where type = 'heartbeat' and received_at >= @since
    group by product_id
)

select
    coalesce(older.product_id, beats.product_id) as product_id,
    coalesce(trades.traded_at, older.traded_at) as traded_at,
    coalesce(trades.trade_id, older.trade_id) as trade_id,
    beats.beat_at,
    beats.last_trade_id
from older
left join trades on older.product_id = trades.product_id
full outer join beats on older.product_id = beats.product_id
where coalesce(older.product_id, beats.product_id) is not null
order by product_id
