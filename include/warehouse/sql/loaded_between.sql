-- Loaded batches with a receipt in a time, the end excluded, and how many rows
-- of each are in raw.
select
    ledger.batch_id,
    ledger.records,
    ledger.bytes,
    ledger.attempt,
    coalesce(there.row_count, 0) as row_count,
    array(
        select segment.segment
        from unnest(ledger.segments) as segment
        order by segment.segment
    ) as segments
from `{batches}` as ledger
left join (
    select
        batch_id,
        count(*) as row_count
    from `{messages}`
    where
        received_at >= timestamp_sub(@received_from, interval 1 day)
        and received_at <= timestamp_add(@received_to, interval 1 day)
    group by batch_id
) as there
    on ledger.batch_id = there.batch_id
where
    ledger.loaded_at is not null
    and ledger.received_at_min < @received_to
    and ledger.received_at_max >= @received_from
order by ledger.received_at_min, ledger.batch_id
