-- Trades of a day: in raw, each once, and in the marts.
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
        ) as trades
    ) as in_raw,
    (
        select count(*)
        from `{fct_trades}`
        where traded_date = cast(@day as date)
    ) as in_marts
