-- A batch whose rows were removed is to be loaded again, under the next id: a
-- job of the old id would be adopted and bring nothing. Only from the attempt
-- that was looked at: a repetition changes nothing.
update `{batches}`
set
    attempt = @loaded_attempt + 1,
    loaded_at = null,
    job_id = null,
    output_rows = null,
    transformed_at = null,
    transformed_by = null
where
    batch_id = @batch_id
    and attempt = @loaded_attempt
    and loaded_at is not null
