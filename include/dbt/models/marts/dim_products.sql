{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='product_id',
    )
}}

{#- A product is here as soon as it is seen: in a trade, ticker or heartbeat, or in what REST lists. -#}

with

seen as (

    select
        matches.product_id,
        min(matches.traded_at) as first_traded_at,
        max(matches.traded_at) as last_traded_at
    from {{ ref('stg_coinbase__matches') }} as matches
    inner join {{ ref('stg_ops__batches') }} as batches
        on matches.batch_id = batches.batch_id
    where
        {{ in_window('matches.received_at', 'received') }}
        and {{ is_usable_trade() }}
        and batches.loaded_at is not null
    group by matches.product_id

),

listed as (

    select * from {{ ref('int_product_records') }}
    where true
    qualify
        row_number() over (
            partition by product_id
            order by received_at desc, session_id desc, record_no desc
        ) = 1

),

-- Facts relate to them, though no trade of theirs was received.
named as (

    select product_id from {{ ref('fct_tickers') }}
    where {{ in_market_days('traded_date') }}
    union distinct
    select product_id from {{ ref('int_product_minutes') }}
    where {{ in_market_days('traded_date') }}

),

traded as (

    select
        product_id,
        min(first_traded_at) as first_traded_at,
        max(last_traded_at) as last_traded_at
    from (
        select * from seen
        union all
        select
            product_id,
            cast(null as timestamp) as first_traded_at,
            cast(null as timestamp) as last_traded_at
        from named
        {%- if is_incremental() %}
        union all
        select
            product_id,
            first_traded_at,
            last_traded_at
        from {{ this }}
        {%- endif %}
    )
    group by product_id

),

final as (

    select
        ---------- ids
        {{ product_key('coalesce(traded.product_id, listed.product_id)') }}
            as product_key,
        coalesce(traded.product_id, listed.product_id) as product_id,

        ---------- text
        coalesce(
            listed.base_currency,
            split(traded.product_id, '-')[safe_offset(0)]
        ) as base_currency,
        coalesce(
            listed.quote_currency,
            split(traded.product_id, '-')[safe_offset(1)]
        ) as quote_currency,
        coalesce(listed.display_name, traded.product_id) as display_name,
        listed.status,
        listed.status_message,

        ---------- numerics
        listed.base_increment,
        listed.quote_increment,
        listed.min_market_funds,

        ---------- booleans
        listed.is_trading_disabled,
        listed.is_post_only,
        listed.is_limit_only,
        listed.is_cancel_only,
        listed.is_in_auction,
        listed.is_fx_stablecoin,
        listed.is_margin_enabled,
        listed.product_id is not null as is_listed,

        ---------- timestamps
        listed.received_at as listed_at,
        traded.first_traded_at,
        traded.last_traded_at

    from traded
    full outer join listed on traded.product_id = listed.product_id

)

select * from final
