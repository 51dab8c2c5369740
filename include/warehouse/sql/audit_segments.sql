-- All segments of some sessions, and of those that a batch since an instant has
-- a segment of.
select
    segment.segment,
    segment.streamer_id,
    segment.session_id,
    segment.first_record_no,
    segment.last_record_no,
    segment.received_at_min,
    batch.loaded_at is not null as is_loaded,
    batch.composed_at >= cast(@since as timestamp) as is_recent
from `{batches}` as batch
cross join unnest(batch.segments) as segment
where segment.session_id in (
    select recent.session_id
    from `{batches}` as other
    cross join unnest(other.segments) as recent
    where other.composed_at >= cast(@since as timestamp)
    union distinct
    select session_id from unnest(@session_ids) as session_id
)
order by segment.session_id, segment.streamer_id, segment.segment_no
