-- Written down, but not known to be loaded; the oldest first.
select
    batch_id,
    source,
    table_id,
    attempt,
    segments
from `{batches}`
where loaded_at is null
order by composed_at, batch_id
