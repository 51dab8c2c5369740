-- Only from the attempt that failed: a repetition changes nothing.
update `{batches}`
set attempt = @failed_attempt + 1
where
    batch_id = @batch_id
    and attempt = @failed_attempt
    and loaded_at is null
