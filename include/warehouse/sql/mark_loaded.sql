update `{batches}`
set
    loaded_at = @loaded_at,
    job_id = @job_id,
    output_rows = @output_rows
where
    batch_id = @batch_id
    and loaded_at is null
