with

taken as (

    select
        segment.segment,
        segment.sha256,
        ledger.batch_id,
        ledger.loaded_at is not null as is_loaded,
        ledger.transformed_at is not null as is_transformed
    from `{batches}` as ledger
    cross join unnest(ledger.segments) as segment
    where ledger.received_at_max >= @not_before

),

-- A join, not IN UNNEST: hashed once instead of compared with every name.
wanted as (

    select name from unnest(@segment_names) as name

)

select taken.*
from taken
inner join wanted on taken.segment = wanted.name
