-- Between which receipts lie the loaded records that tell of a day: by the times
-- of their trades, or by their own, with slack for what is no trade.
select
    count(*) as segments,
    sum(segment.records) as records,
    min(segment.received_at_min) as received_at_min,
    max(segment.received_at_max) as received_at_max
from `{batches}` as ledger
cross join unnest(ledger.segments) as segment
where
    ledger.loaded_at is not null
    and (
        (
            segment.traded_at_min <= @day_to
            and segment.traded_at_max >= @day_from
        )
        or (
            segment.received_at_min <= @receipts_to
            and segment.received_at_max >= @receipts_from
        )
    )
