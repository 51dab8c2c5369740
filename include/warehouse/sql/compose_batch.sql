-- Writes a batch down unless it is there already, or one of its segments is in
-- another batch: both leave the ledger as it is and affect no row.
merge `{batches}` as ledger
using (
    select
        @batch_id as batch_id,
        array(
            select as struct
                json_value(item, '$.segment') as segment,
                json_value(item, '$.streamer_id') as streamer_id,
                json_value(item, '$.session_id') as session_id,
                cast(json_value(item, '$.segment_no') as int64) as segment_no,
                cast(json_value(item, '$.first_record_no') as int64)
                    as first_record_no,
                cast(json_value(item, '$.last_record_no') as int64)
                    as last_record_no,
                cast(json_value(item, '$.records') as int64) as records,
                cast(json_value(item, '$.bytes') as int64) as bytes,
                json_value(item, '$.sha256') as sha256,
                cast(json_value(item, '$.received_at_min') as timestamp)
                    as received_at_min,
                cast(json_value(item, '$.received_at_max') as timestamp)
                    as received_at_max,
                cast(json_value(item, '$.traded_at_min') as timestamp)
                    as traded_at_min,
                cast(json_value(item, '$.traded_at_max') as timestamp)
                    as traded_at_max,
                cast(json_value(item, '$.sealed_at') as timestamp) as sealed_at
            from unnest(json_query_array(@segments)) as item with offset as place
            order by place
        ) as segments
    from (select 1 as one) as once
    where not exists (
        select 1
        from (
            select segment.segment
            from `{batches}` as other
            cross join unnest(other.segments) as segment
            where
                other.batch_id != @batch_id
                and other.received_at_max >= @not_before
        ) as taken
        inner join (
            select name from unnest(@segment_names) as name
        ) as wanted on taken.segment = wanted.name
    )
) as batch
    on ledger.batch_id = batch.batch_id
when not matched then
    insert (
        batch_id,
        source,
        table_id,
        composed_at,
        dag_run_id,
        attempt,
        records,
        bytes,
        received_at_min,
        received_at_max,
        traded_at_min,
        traded_at_max,
        segments
    )
    values (
        batch.batch_id,
        @source,
        @table_id,
        current_timestamp(),
        @dag_run_id,
        1,
        @records,
        @bytes,
        cast(@received_at_min as timestamp),
        cast(@received_at_max as timestamp),
        cast(@traded_at_min as timestamp),
        cast(@traded_at_max as timestamp),
        batch.segments
    )
