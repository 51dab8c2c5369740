-- Batches written down since an instant, and all that are unfinished.
select
    batch.batch_id,
    batch.table_id,
    batch.attempt,
    batch.records,
    batch.received_at_min,
    batch.received_at_max,
    batch.loaded_at is not null as is_loaded,
    timestamp_diff(current_timestamp(), batch.composed_at, second)
        as age_seconds,
    coalesce(letter.refused, 0) as refused,
    array(select segment.segment from unnest(batch.segments) as segment)
        as segments
from `{batches}` as batch
left join (
    select
        batch_id,
        count(*) as refused
    from `{dead_letters}`
    where not is_loaded
    group by batch_id
) as letter
    on batch.batch_id = letter.batch_id
where
    batch.composed_at >= cast(@since as timestamp)
    or batch.loaded_at is null
order by batch.composed_at, batch.batch_id
