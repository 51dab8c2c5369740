{#- What a message may lack; what it has and does not cast is null in staging, and told of here. -#}
{%- set decimals_of_ticker = [
    'last_size', 'best_bid', 'best_bid_size', 'best_ask', 'best_ask_size', 'open_24h', 'high_24h', 'low_24h',
    'volume_24h', 'volume_30d',
] -%}
{%- set decimals_of_product = ['base_increment', 'quote_increment', 'min_market_funds'] -%}
{%- set flags_of_product = [
    'trading_disabled', 'post_only', 'limit_only', 'cancel_only', 'auction_mode', 'fx_stablecoin', 'margin_enabled',
] -%}
{%- set ids_of_control = {
    'pulse_gap': ['first_missing', 'last_missing'],
    'pulse_gap_closed': ['first', 'last'],
} %}

with

source as (

    select
        * except (reason),
        coalesce(product_id, json_value(detail, '$.id')) as named_product_id,
        {{ exchange_time('time') }} is null as has_no_time
    from {{ source('coinbase', 'messages') }}

),

judged as (

    select
        *,
        case
            when type = 'malformed' then 'malformed: not one JSON object with a type'
            when named_product_id is null then 'product_id is missing'
            when type = 'heartbeat' and last_trade_id is null
                then 'last_trade_id is missing'
            when
                type in ('match', 'last_match', 'rest_trade', 'ticker')
                and trade_id is null
                then 'trade_id is missing'
            when starts_with(type, 'pulse_') then null
            when has_no_time then 'time is missing or no RFC 3339 time in UTC'
            when type = 'heartbeat' then null
            when safe_cast(price as numeric) is null
                then 'price is missing or no decimal'
            when type = 'ticker' then null
            when safe_cast(size as numeric) is null
                then 'size is missing or no decimal'
            when side is null or side not in ('buy', 'sell')
                then 'side is neither buy nor sell'
        end as reason_to_refuse,
        case
            {%- for name in decimals_of_ticker %}
            when
                type = 'ticker'
                and {{ name }} is not null
                and safe_cast({{ name }} as numeric) is null
                then '{{ name }} is no decimal'
            {%- endfor %}
            when
                type = 'ticker'
                and (side is null or side not in ('buy', 'sell'))
                then 'side is neither buy nor sell'
            {%- for name in decimals_of_product %}
            when
                type = 'pulse_product'
                and json_value(detail, '$.{{ name }}') != ''
                and safe_cast(json_value(detail, '$.{{ name }}') as numeric) is null
                then '{{ name }} is no decimal'
            {%- endfor %}
            {%- for name in flags_of_product %}
            when
                type = 'pulse_product'
                and json_value(detail, '$.{{ name }}') is not null
                and safe_cast(json_value(detail, '$.{{ name }}') as bool) is null
                then '{{ name }} is neither true nor false'
            {%- endfor %}
            {%- for control_type, names in ids_of_control.items() %}
            {%- for name in names %}
            when
                type = '{{ control_type }}'
                and safe_cast(json_value(detail, '$.{{ name }}') as int64) is null
                then '{{ name }} is missing or no whole number'
            {%- endfor %}
            {%- endfor %}
        end as reason_to_leave_out
    from source
    where
        type in (
            'match', 'last_match', 'rest_trade', 'ticker', 'heartbeat', 'malformed',
            'pulse_product', 'pulse_gap', 'pulse_gap_closed'
        )

),

renamed as (

    select
        ---------- ids
        session_id,
        record_no,
        batch_id,
        named_product_id as product_id,
        trade_id,

        ---------- text
        type as message_type,
        coalesce(reason_to_refuse, reason_to_leave_out) as reason,
        time as time_as_sent,
        price as price_as_sent,
        size as size_as_sent,
        side as side_as_sent,
        undecodable,

        ---------- booleans
        reason_to_refuse is null as is_used,

        ---------- timestamps
        received_at

    from judged
    where coalesce(reason_to_refuse, reason_to_leave_out) is not null

)

select * from renamed
