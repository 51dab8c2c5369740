-- Trades of a range of ids that the marts have, and of these the ones whose row
-- is made of a receipt of some sessions.
select
    count(*) as known,
    countif(session_id in unnest(@sessions)) as inserted
from `{fct_trades}`
where
    product_id = @product_id
    and trade_id between @first and @last
    and traded_date between cast(@from_date as date)
    and cast(@to_date as date)
