-- Malformed records of a loaded batch, from their rows in raw.
merge `{dead_letters}` as known
using (
    select
        segment.segment,
        message.record_no - segment.first_record_no + 1 as line_no,
        message.record_no,
        message.received_at,
        message.undecodable,
        length(message.undecodable) as line_bytes
    from (
        select
            item.segment,
            item.session_id,
            item.first_record_no,
            item.last_record_no
        from `{batches}` as batch
        cross join unnest(batch.segments) as item
        where batch.batch_id = @batch_id
    ) as segment
    inner join (
        select
            session_id,
            record_no,
            received_at,
            undecodable
        from `{messages}`
        where
            received_at between cast(@received_at_min as timestamp)
            and cast(@received_at_max as timestamp)
            and type = 'malformed'
            and batch_id = @batch_id
    ) as message
        on
            segment.session_id = message.session_id
            and message.record_no >= segment.first_record_no
            and message.record_no <= segment.last_record_no
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
        'undecodable',
        'not one valid JSON object of a known form (docs/spool-format.md)',
        letter.undecodable,
        letter.line_bytes,
        true,
        current_timestamp()
    )
