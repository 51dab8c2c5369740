with

source as (

    select * from {{ source('coinbase', 'messages') }}

),

renamed as (

    select
        ---------- ids
        coalesce(product_id, json_value(detail, '$.id')) as product_id,
        session_id,
        record_no,
        batch_id,

        ---------- text
        json_value(detail, '$.base_currency') as base_currency,
        json_value(detail, '$.quote_currency') as quote_currency,
        json_value(detail, '$.display_name') as display_name,
        json_value(detail, '$.status') as status,
        json_value(detail, '$.status_message') as status_message,

        ---------- numerics
        safe_cast(json_value(detail, '$.base_increment') as numeric)
            as base_increment,
        safe_cast(json_value(detail, '$.quote_increment') as numeric)
            as quote_increment,
        safe_cast(json_value(detail, '$.min_market_funds') as numeric)
            as min_market_funds,

        ---------- booleans
        safe_cast(json_value(detail, '$.trading_disabled') as bool)
            as is_trading_disabled,
        safe_cast(json_value(detail, '$.post_only') as bool) as is_post_only,
        safe_cast(json_value(detail, '$.limit_only') as bool) as is_limit_only,
        safe_cast(json_value(detail, '$.cancel_only') as bool)
            as is_cancel_only,
        safe_cast(json_value(detail, '$.auction_mode') as bool)
            as is_in_auction,
        safe_cast(json_value(detail, '$.fx_stablecoin') as bool)
            as is_fx_stablecoin,
        safe_cast(json_value(detail, '$.margin_enabled') as bool)
            as is_margin_enabled,

        ---------- timestamps
        received_at

    from source
    where type = 'pulse_product'

)

select * from renamed
