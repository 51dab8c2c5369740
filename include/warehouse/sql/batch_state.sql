select
    batch_id,
    source,
    table_id,
    attempt,
    segments,
    loaded_at is not null as is_loaded
from `{batches}`
where batch_id = @batch_id
