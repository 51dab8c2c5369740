{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['product_id', 'trade_id'],
        incremental_predicates=[
            'DBT_INTERNAL_DEST.traded_date between __market_from_date__ and __market_to_date__',
        ],
        partition_by={'field': 'traded_date', 'data_type': 'date'},
        cluster_by=['product_id'],
    )
}}

{#- Of all copies of a ticker the earliest receipt is the row, as in fct_trades. -#}

with

tickers as (

    select * from {{ ref('stg_coinbase__tickers') }}
    where
        {{ in_window('received_at', 'received') }}
        and {{ in_market_days('date(traded_at)') }}
        and {{ is_usable_ticker() }}

),

arrived as (

    select
        tickers.*,
        batches.loaded_at
    from tickers
    inner join {{ ref('stg_ops__batches') }} as batches
        on tickers.batch_id = batches.batch_id
    where batches.loaded_at is not null

),

first_arrived as (

    select * from arrived
    where true
    qualify
        row_number() over (
            partition by product_id, trade_id
            order by {{ receipt_order() | join(', ') }}
        ) = 1

),

{% if is_incremental() -%}

known as (

    select
        product_id,
        trade_id,
        {{ receipt_order() | join(', ') }}
    from {{ this }}
    where
        {{ in_market_days('traded_date') }}
        and {{ is_kept('traded_date') }}

),

winners as (

    select
        first_arrived.*,
        first_arrived.price - first_arrived.open_24h as change_24h
    from first_arrived
    left join known
        on
            first_arrived.product_id = known.product_id
            and first_arrived.trade_id = known.trade_id
    where
        known.trade_id is null
        or {{ is_earlier_receipt('first_arrived', 'known') }}

),

{% else -%}

winners as (

    select
        *,
        price - open_24h as change_24h
    from first_arrived

),

{% endif -%}

{{ with_ratios('winners', 'measured', {'change_24h_percent': ['100 * change_24h', 'open_24h']}) }},

final as (

    select
        ---------- ids
        {{ product_key('product_id') }} as product_key,
        product_id,
        trade_id,

        ---------- text
        taker_side,

        ---------- numerics
        price,
        last_size,
        best_bid,
        best_bid_size,
        best_ask,
        best_ask_size,
        open_24h,
        high_24h,
        low_24h,
        volume_24h,
        volume_30d,
        change_24h,
        change_24h_percent,
        sequence,

        ---------- dates and times
        date(traded_at) as traded_date,
        traded_at,
        received_at,
        loaded_at,

        ---------- the receipt this row is made of
        batch_id,
        session_id,
        record_no

    from measured

)

select * from final
