{#-
    The squared logarithmic return between two prices in square basis points, rounded to 6 decimals.

    A logarithm is a DOUBLE everywhere; rounded before it is summed, it sums to the same in any order.
-#}
{% macro squared_return(price, previous_price) -%}
    cast(round(pow(
        10000 * ln(
            cast({{ price }} as float64) / cast({{ previous_price }} as float64)
        ),
        2
    ), 6) as numeric)
{%- endmacro %}
