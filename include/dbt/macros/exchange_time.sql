{#-
    The exchange's time as TIMESTAMP, null when it is none.

    Digits past the microsecond are cut, as the spool does for its manifests: BigQuery refuses more than six.
-#}
{% macro exchange_time(column) -%}
    safe_cast(regexp_replace({{ column }}, r'([.][0-9]{6})[0-9]+', r'\1') as timestamp)
{%- endmacro %}
