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

{#-
    The one place where trades are deduplicated.

    A trade arrives more than once: `last_match` repeats it after a reconnect, a second streamer receives it too, a
    window is transformed again, a segment is loaded again. Of all copies the least in receipt_order() is the row, so
    any order of arrival gives the same table.
    The quote is that of the trade's ticker in fct_tickers; one that arrives after its trade changes the row.

    A table that is created is built from all of raw; only increments are bounded by the window. The window bounds
    receipts and trade times, both: a receipt in the range of a late segment may belong to a batch transformed long
    ago, and its trade may lie on a day of the target that this run does not look at.
-#}

{%- set of_a_trade = [
    'product_id', 'trade_id', 'maker_order_id', 'taker_order_id', 'maker_side', 'taker_side', 'source', 'price',
    'size', 'sequence', 'is_last_match', 'traded_at', 'received_at', 'loaded_at', 'batch_id', 'session_id', 'record_no',
] %}

with

matches as (

    select * from {{ ref('stg_coinbase__matches') }}
    where
        {{ in_window('received_at', 'received') }}
        and {{ in_window('traded_at', 'traded') }}
        -- What does not cast stays in raw, and stg_coinbase__rejected says why.
        and {{ is_usable_trade() }}

),

-- A record counts once the ledger says that its batch is loaded.
arrived as (

    select
        matches.*,
        batches.loaded_at
    from matches
    inner join {{ ref('stg_ops__batches') }} as batches
        on matches.batch_id = batches.batch_id
    where batches.loaded_at is not null

),

first_arrived as (

    select {{ of_a_trade | join(', ') }} from arrived
    where true
    qualify
        row_number() over (
            partition by product_id, trade_id
            order by {{ receipt_order() | join(', ') }}
        ) = 1

),

quotes as (

    select
        product_id,
        trade_id,
        best_bid,
        best_bid_size,
        best_ask,
        best_ask_size,
        received_at
    from {{ ref('fct_tickers') }}
    where {{ in_market_days('traded_date') }}

),

{% if is_incremental() -%}

known as (

    select {{ of_a_trade | join(', ') }}
    from {{ this }}
    where
        {{ in_market_days('traded_date') }}
        and {{ is_kept('traded_date') }}

),

winners as (

    select first_arrived.*
    from first_arrived
    left join known
        on
            first_arrived.product_id = known.product_id
            and first_arrived.trade_id = known.trade_id
    where
        known.trade_id is null
        or {{ is_earlier_receipt('first_arrived', 'known') }}

),

-- Trades that stay as they are but for a quote that may have come in this window.
quoted as (

    select known.*
    from known
    inner join quotes
        on
            known.product_id = quotes.product_id
            and known.trade_id = quotes.trade_id
    left join winners
        on
            known.product_id = winners.product_id
            and known.trade_id = winners.trade_id
    where
        winners.trade_id is null
        and {{ in_window('quotes.received_at', 'received') }}

),

touched as (

    select * from winners
    union all
    select * from quoted

),

{% else -%}

touched as (

    select * from first_arrived

),

{% endif -%}

with_quotes as (

    select
        touched.*,
        quotes.best_bid,
        quotes.best_bid_size,
        quotes.best_ask,
        quotes.best_ask_size,
        quotes.best_ask - quotes.best_bid as spread,
        quotes.best_bid_size + quotes.best_ask_size as liquidity_depth
    from touched
    left join quotes
        on
            touched.product_id = quotes.product_id
            and touched.trade_id = quotes.trade_id

),

{{ with_ratios('with_quotes', 'measured', {
    'spread_bps': ['20000 * spread', '(best_bid + best_ask)'],
    'bid_ask_strength_ratio': ['best_bid_size', 'best_ask_size'],
    'market_pressure': ['(best_bid_size - best_ask_size)', 'liquidity_depth'],
}) }},

final as (

    select
        ---------- ids
        {{ product_key('product_id') }} as product_key,
        {{ side_key('taker_side') }} as taker_side_key,
        {{ time_key('traded_at') }} as time_key,
        product_id,
        trade_id,
        maker_order_id,
        taker_order_id,

        ---------- text
        maker_side,
        taker_side,
        source,

        ---------- numerics
        price,
        size,
        -- Up to 16 decimals, rounded here and nowhere else, half away from zero, to the 9 of NUMERIC. BigQuery's
        -- product of two NUMERICs is rounded so already; where a product keeps all its decimals the cast does it.
        cast(price * size as numeric) as notional,
        best_bid,
        best_bid_size,
        best_ask,
        best_ask_size,
        spread,
        cast((best_bid + best_ask) * numeric '0.5' as numeric) as mid,
        spread_bps,
        liquidity_depth,
        bid_ask_strength_ratio,
        market_pressure,
        sequence,

        ---------- booleans
        is_last_match,

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
