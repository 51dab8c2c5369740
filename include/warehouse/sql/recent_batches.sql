select
    batch_id,
    dag_run_id,
    attempt,
    job_id,
    records,
    bytes,
    array_length(segments) as segments,
    received_at_min,
    received_at_max,
    traded_at_max,
    composed_at,
    loaded_at,
    output_rows,
    transformed_at
from `{batches}`
order by composed_at desc, batch_id asc
limit @count
