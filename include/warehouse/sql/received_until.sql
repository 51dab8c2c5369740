-- When the newest record that was loaded was received, of whatever kind.
select max(received_at_max) as received_at
from `{batches}`
where loaded_at is not null
