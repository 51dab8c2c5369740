select
    type,
    field,
    kind,
    min(received_at_min) as first_seen,
    max(received_at_max) as last_seen,
    sum(count) as messages,
    count(*) as segments,
    min_by(example, received_at_min) as example
from `{drift_observations}`
group by type, field, kind
