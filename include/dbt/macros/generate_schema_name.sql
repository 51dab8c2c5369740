{#- The dataset is exactly the one configured: no prefix of the profile's default dataset in front of it. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
