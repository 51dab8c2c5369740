-- What nobody has loaded again, the oldest first.
select
    segment,
    line_no,
    batch_id,
    record_no,
    received_at,
    reason,
    error,
    line,
    line_bytes,
    is_loaded,
    first_seen,
    redriven_to
from `{dead_letters}`
where redriven_at is null
order by received_at, segment, line_no
