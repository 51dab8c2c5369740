{#-
    Configurations (`where` of a data test, `incremental_predicates` of a model) are fixed when dbt parses, before a
    window is known. They name its bounds by placeholders, which become literals when the statement is put together:

        __received_from__  __received_to__        TIMESTAMP, for stg_coinbase__*
        __received_from_date__  __received_to_date__  DATE, for tables partitioned by the day of a receipt
        __market_from_date__  __market_to_date__  DATE, for tables partitioned by traded_date
        __near_from_date__  __near_to_date__      DATE, a day more at either end, for what its neighbours change
-#}
{% macro fill_window(sql) -%}
    {{ return(
        sql
        | replace('__received_from__', window_timestamp('received', 'from'))
        | replace('__received_to__', window_timestamp('received', 'to'))
        | replace('__received_from_date__', window_date('received', 'from'))
        | replace('__received_to_date__', window_date('received', 'to'))
        | replace('__market_from_date__', market_date('from'))
        | replace('__market_to_date__', market_date('to'))
        | replace('__near_from_date__', market_date('from', 1))
        | replace('__near_to_date__', market_date('to', 1))
    ) }}
{%- endmacro %}

{#- Overrides dbt's hook for the `where` of data tests. -#}
{% macro bigquery__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- if not where -%}{{ return(relation) }}{%- endif -%}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ fill_window(where) ~ ') as dbt_subquery') }}
{%- endmacro %}
