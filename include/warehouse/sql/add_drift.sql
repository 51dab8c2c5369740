-- One row a segment and deviation: a repetition counts nothing twice.
merge `{drift_observations}` as known
using (
    select
        json_value(item, '$.segment') as segment,
        json_value(item, '$.type') as type,
        json_value(item, '$.field') as field,
        json_value(item, '$.kind') as kind,
        cast(json_value(item, '$.count') as int64) as count,
        cast(json_value(item, '$.first_line_no') as int64) as first_line_no,
        json_value(item, '$.example') as example,
        cast(json_value(item, '$.received_at_min') as timestamp)
            as received_at_min,
        cast(json_value(item, '$.received_at_max') as timestamp)
            as received_at_max
    from unnest(json_query_array(@observations)) as item
) as seen
    on
        known.segment = seen.segment
        and known.type = seen.type
        and known.field = seen.field
        and known.kind = seen.kind
when not matched then
    insert (
        segment,
        type,
        field,
        kind,
        count,
        first_line_no,
        example,
        received_at_min,
        received_at_max
    )
    values (
        seen.segment,
        seen.type,
        seen.field,
        seen.kind,
        seen.count,
        seen.first_line_no,
        seen.example,
        seen.received_at_min,
        seen.received_at_max
    )
