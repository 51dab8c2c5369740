{#- INT64 keys: the same in every table, stable over rebuilds, without a lookup. -#}

{#- Of dim_products. -#}
{% macro product_key(product_id) -%}
    farm_fingerprint({{ product_id }})
{%- endmacro %}

{#- Of dim_sides: 1 buy, 2 sell. -#}
{% macro side_key(side) -%}
    case {{ side }} when 'buy' then 1 when 'sell' then 2 end
{%- endmacro %}

{#- Of dim_times: the minute of the UTC day, 0 to 1439. -#}
{% macro time_key(instant) -%}
    extract(hour from {{ instant }}) * 60 + extract(minute from {{ instant }})
{%- endmacro %}
