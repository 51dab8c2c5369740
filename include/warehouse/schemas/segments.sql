select
    segment.segment,
    segment.streamer_id,
    segment.session_id,
    segment.segment_no,
    segment.first_record_no,
    segment.last_record_no,
    segment.records,
    segment.bytes,
    segment.sha256,
    segment.received_at_min,
    segment.received_at_max,
    segment.traded_at_min,
    segment.traded_at_max,
    segment.sealed_at,
    batches.batch_id,
    batches.composed_at,
    batches.loaded_at,
    batches.transformed_at
from `{batches}` as batches
cross join unnest(batches.segments) as segment
