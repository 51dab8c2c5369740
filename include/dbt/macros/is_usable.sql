{#- A row of stg_coinbase__matches in which everything a trade needs is there and was readable. -#}
{% macro is_usable_trade() -%}
    {{ _all_there(['product_id', 'trade_id', 'traded_at', 'price', 'size', 'taker_side']) }}
{%- endmacro %}

{#- The same for a row of stg_coinbase__tickers. -#}
{% macro is_usable_ticker() -%}
    {{ _all_there(['product_id', 'trade_id', 'traded_at', 'price']) }}
{%- endmacro %}

{#- The same for a row of stg_coinbase__heartbeats. Where the exchange does not say its newest trade, it sends 0. -#}
{% macro is_usable_heartbeat() -%}
    {{ _all_there(['product_id', 'last_trade_id', 'beat_at']) }} and last_trade_id > 0
{%- endmacro %}

{% macro _all_there(columns) -%}
    {{ columns | join(' is not null and ') }} is not null
{%- endmacro %}
