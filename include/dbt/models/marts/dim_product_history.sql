{{ config(materialized='view') }}

{%- set versioned = [
    'base_currency', 'quote_currency', 'display_name', 'status', 'status_message', 'base_increment', 'quote_increment',
    'min_market_funds', 'is_trading_disabled', 'is_post_only', 'is_limit_only', 'is_cancel_only', 'is_in_auction',
    'is_fx_stablecoin', 'is_margin_enabled',
] %}

with

records as (

    select
        *,
        {%- for column in versioned %}
        lag({{ column }}) over in_order as previous_{{ column }},
        {%- endfor %}
        row_number() over in_order as record_rank
    from {{ ref('int_product_records') }}
    window in_order as (
        partition by product_id order by received_at, session_id, record_no
    )

),

changes as (

    select * from records
    where
        record_rank = 1
        {%- for column in versioned %}
        or {{ column }} is distinct from previous_{{ column }}
        {%- endfor %}

),

versions as (

    select
        *,
        row_number() over in_order as version_no,
        lead(received_at) over in_order as valid_to
    from changes
    window in_order as (
        partition by product_id order by received_at, session_id, record_no
    )

),

final as (

    select
        ---------- ids
        {{ product_key('product_id') }} as product_key,
        product_id,
        version_no,

        ---------- what has versions
        {%- for column in versioned %}
        {{ column }},
        {%- endfor %}

        ---------- booleans
        valid_to is null as is_current,

        ---------- timestamps
        received_at as valid_from,
        valid_to

    from versions

)

select * from final
