with

source as (

    select * from {{ source('coinbase', 'messages') }}

),

renamed as (

    select
        ---------- ids
        product_id,
        trade_id,
        session_id,
        record_no,
        batch_id,

        ---------- a ticker names the taker's side, unlike a match
        case when side in ('buy', 'sell') then side end as taker_side,
        case side when 'buy' then 'sell' when 'sell' then 'buy' end
            as maker_side,

        ---------- numerics
        safe_cast(price as numeric) as price,
        safe_cast(last_size as numeric) as last_size,
        safe_cast(best_bid as numeric) as best_bid,
        safe_cast(best_bid_size as numeric) as best_bid_size,
        safe_cast(best_ask as numeric) as best_ask,
        safe_cast(best_ask_size as numeric) as best_ask_size,
        safe_cast(open_24h as numeric) as open_24h,
        safe_cast(high_24h as numeric) as high_24h,
        safe_cast(low_24h as numeric) as low_24h,
        safe_cast(volume_24h as numeric) as volume_24h,
        safe_cast(volume_30d as numeric) as volume_30d,
        sequence,

        ---------- timestamps
        {{ exchange_time('time') }} as traded_at,
        received_at

    from source
    where type = 'ticker'

)

select * from renamed
