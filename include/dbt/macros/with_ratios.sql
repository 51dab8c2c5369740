{#-
    CTEs that add quotients to a relation, each exact and rounded once: 9 decimals, half away from zero; null when the
    divisor is null or 0, or the dividend null.

    relation  the CTE to read
    result    the CTE to make: all its columns, then one for each ratio
    ratios    name: [dividend, divisor], or [dividend × 10^8, divisor, 8]

    `/` on NUMERIC is exact on BigQuery, and goes through DOUBLE on the local warehouse, which is right to some 15
    digits. So the quotient is found in two steps, as in long division by hand: an approximate quotient, the exact
    remainder, the approximate quotient of that, its exact remainder, which rounds. Every product is of a whole number and
    a number of at most 9 decimals, so none is rounded. No product may reach 10^20 on the local warehouse (it fails,
    loudly) and 10^29 on BigQuery.
-#}
{% macro with_ratios(relation, result, ratios) -%}
{{ result }}__divided as (

    select
        *,
        {%- for name, terms in ratios.items() %}
        abs({{ terms[0] }}) as {{ name }}__dividend,
        nullif(abs({{ terms[1] }}), 0) as {{ name }}__divisor,
        sign({{ terms[0] }}) * sign({{ terms[1] }}) as {{ name }}__sign
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ relation }}

),

{{ result }}__begun as (

    select
        *,
        {%- for name, terms in ratios.items() %}
        cast(round(
            {{ scaled(name ~ '__dividend', 1 if terms[2] else 10000) }} / {{ name }}__divisor
        ) as numeric) as {{ name }}__whole
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ result }}__divided

),

{{ result }}__continued as (

    select
        *,
        {%- for name, terms in ratios.items() %}
        {{ scaled(name ~ '__dividend', 1 if terms[2] else 10000) }}
        - cast({{ name }}__whole * {{ name }}__divisor as numeric) as {{ name }}__rest
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ result }}__begun

),

{{ result }}__refined as (

    select
        *,
        {%- for name, terms in ratios.items() %}
        cast(round(
            {{ scaled(name ~ '__rest', 10 if terms[2] else 100000) }} / {{ name }}__divisor
        ) as numeric) as {{ name }}__fraction
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ result }}__continued

),

{{ result }}__rounded as (

    select
        *,
        {%- for name, terms in ratios.items() %}
        2 * (
            {{ scaled(name ~ '__rest', 10 if terms[2] else 100000) }}
            - cast({{ name }}__fraction * {{ name }}__divisor as numeric)
        ) as {{ name }}__twice_rest
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ result }}__refined

),

{{ result }} as (

    select
        * except (
            {%- for name in ratios %}
            {{ name }}__dividend, {{ name }}__divisor, {{ name }}__sign,
            {{ name }}__whole, {{ name }}__rest, {{ name }}__fraction, {{ name }}__twice_rest
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        ),
        {%- for name, terms in ratios.items() %}
        cast(
            {{ name }}__sign * (
                {{ scaled(name ~ '__whole', 10 if terms[2] else 100000) }}
                + {{ name }}__fraction
                + case
                    when {{ name }}__twice_rest >= {{ name }}__divisor then 1
                    when {{ name }}__twice_rest < -{{ name }}__divisor then -1
                    else 0
                end
            ) * numeric '0.000000001' as numeric
        ) as {{ name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ result }}__rounded

)
{%- endmacro %}

{% macro scaled(expression, factor) -%}
    {%- if factor == 1 -%}{{ expression }}{%- else -%}cast({{ expression }} * {{ factor }} as numeric){%- endif -%}
{%- endmacro %}
