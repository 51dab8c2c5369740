-- Loaded, but not in the marts: what the next window covers.
select
    batch_id,
    records,
    received_at_min,
    received_at_max,
    traded_at_min,
    traded_at_max
from `{batches}`
where
    loaded_at is not null
    and transformed_at is null
order by loaded_at, batch_id
