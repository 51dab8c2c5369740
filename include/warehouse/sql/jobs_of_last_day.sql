-- Every attempt was a job. One that is not over may be submitted any moment.
select coalesce(sum(attempt), 0) as jobs
from `{batches}`
where
    table_id = @table_id
    and (
        composed_at > timestamp_sub(current_timestamp(), interval 24 hour)
        or loaded_at > timestamp_sub(current_timestamp(), interval 24 hour)
        or loaded_at is null
    )
