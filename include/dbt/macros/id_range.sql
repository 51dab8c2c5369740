{#- '7', or '7-9'; null when the range is empty or an end unknown. -#}
{% macro id_range(first, last) -%}
    case
        when {{ first }} = {{ last }} then cast({{ first }} as string)
        when {{ first }} < {{ last }}
            then concat(
                cast({{ first }} as string), '-', cast({{ last }} as string)
            )
    end
{%- endmacro %}
