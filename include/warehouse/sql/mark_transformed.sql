-- Batches that are marked already, or not loaded, stay as they are.
update `{batches}`
set
    transformed_at = current_timestamp(),
    transformed_by = @run_id
where
    batch_id in unnest(@batch_ids)
    and loaded_at is not null
    and transformed_at is null
