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
        maker_order_id,
        taker_order_id,

        ---------- the exchange names the maker's side
        side as maker_side,
        case side when 'buy' then 'sell' when 'sell' then 'buy' end
            as taker_side,

        ---------- what REST brought lies in segments of its own streamers
        case when starts_with(streamer_id, 'rest-') then 'rest' else 'ws' end
            as source, -- noqa: RF04

        ---------- numerics
        safe_cast(price as numeric) as price,
        safe_cast(size as numeric) as size,
        sequence,

        ---------- booleans
        type = 'last_match' as is_last_match,

        ---------- timestamps
        {{ exchange_time('time') }} as traded_at,
        received_at

    from source
    where type in ('match', 'last_match', 'rest_trade')

)

select * from renamed
