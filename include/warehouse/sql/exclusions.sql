select
    segment,
    line_no
from `{dead_letters}`
where
    batch_id = @batch_id
    and not is_loaded
