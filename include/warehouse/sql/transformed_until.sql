-- The newest trade that is in the marts; no row of a mart is read.
select max(traded_at_max) as traded_at
from `{batches}`
where transformed_at is not null
