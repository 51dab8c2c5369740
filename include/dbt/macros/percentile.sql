{#- The least value that `percent` of all values do not exceed (nearest rank): exact, and one of the values. -#}
{% macro percentile(column, percent) -%}
    array_agg({{ column }} ignore nulls order by {{ column }})[
        {#- The inner brackets are for the local warehouse, which divides the last term alone without them. #}
        safe_ordinal(div((count({{ column }}) * {{ percent }} + 99), 100))
    ]
{%- endmacro %}
