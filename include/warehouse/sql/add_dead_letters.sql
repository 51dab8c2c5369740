-- A letter that is there already stays as it is: first_seen is the first.
merge `{dead_letters}` as known
using (
    select
        json_value(item, '$.segment') as segment,
        cast(json_value(item, '$.line_no') as int64) as line_no,
        cast(json_value(item, '$.record_no') as int64) as record_no,
        cast(json_value(item, '$.received_at') as timestamp) as received_at,
        json_value(item, '$.reason') as reason,
        json_value(item, '$.error') as error,
        json_value(item, '$.line') as line,
        cast(json_value(item, '$.line_bytes') as int64) as line_bytes
    from unnest(json_query_array(@letters)) as item
) as letter
    on known.segment = letter.segment and known.line_no = letter.line_no
when not matched then
    insert (
        segment,
        line_no,
        record_no,
        batch_id,
        received_at,
        reason,
        error,
        line,
        line_bytes,
        is_loaded,
        first_seen
    )
    values (
        letter.segment,
        letter.line_no,
        letter.record_no,
        @batch_id,
        letter.received_at,
        letter.reason,
        letter.error,
        letter.line,
        letter.line_bytes,
        false,
        current_timestamp()
    )
