-- Rows in raw by batch, between two receipts, and whether the ledger knows the
-- batch.
select
    message.batch_id,
    message.row_count,
    batch.batch_id is not null as is_known
from (
    select
        batch_id,
        count(*) as row_count
    from `{messages}`
    where
        received_at between cast(@received_from as timestamp)
        and cast(@received_to as timestamp)
    group by batch_id
) as message
left join `{batches}` as batch
    on message.batch_id = batch.batch_id
order by message.batch_id
