-- Trades of a day that were received between two instants, so that the live feed
-- changes neither count: in raw, each once, and in the marts. A message that cannot be
-- used (stg_coinbase__rejected) is no trade: the same rule as is_usable_trade.
select
    (
        select count(*)
        from (
            select distinct
                product_id,
                trade_id
            from `{messages}`
            where
                received_at between cast(@received_from as timestamp)
                and cast(@received_to as timestamp)
                and type in ('match', 'last_match', 'rest_trade')
                and starts_with(time, @day)
                and product_id is not null
                and trade_id is not null
                and side in ('buy', 'sell')
                and safe_cast(
                    regexp_replace(time, r'([.][0-9]{6})[0-9]+', r'\1')
                    as timestamp
                ) is not null
                and safe_cast(price as numeric) is not null
                and safe_cast(size as numeric) is not null
        ) as trades
    ) as in_raw,
    (
        select count(*)
        from `{fct_trades}`
        where
            traded_date = cast(@day as date)
            and received_at between cast(@received_from as timestamp)
            and cast(@received_to as timestamp)
    ) as in_marts
