-- A hash of every column of the schema but batch_id, of the records of some
-- segments, in order. The columns are named: a table that has grown has them in
-- another order, or has more of them, than one just made. No alias here may be
-- called like a column: a column would come first.
select
    raw_row.streamer_id,
    raw_row.session_id,
    raw_row.record_no,
    to_hex(sha256(to_json_string(raw_row))) as content
from (
    select {record_columns}
    from `{messages}`
    where
        received_at between cast(@received_from as timestamp)
        and cast(@received_to as timestamp)
) as raw_row
inner join (
    select
        json_value(item, '$.streamer_id') as streamer_id,
        json_value(item, '$.session_id') as session_id,
        cast(json_value(item, '$.first_record_no') as int64) as first_no,
        cast(json_value(item, '$.last_record_no') as int64) as last_no
    from unnest(json_query_array(@segments)) as item
) as segment
    on
        raw_row.streamer_id = segment.streamer_id
        and raw_row.session_id = segment.session_id
        and raw_row.record_no >= segment.first_no
        and raw_row.record_no <= segment.last_no
order by raw_row.streamer_id, raw_row.session_id, raw_row.record_no
