{#-
    How an incremental model is merged: one statement, MERGE with the model's query as its source.

    With any other value of on_schema_change than `ignore`, dbt first writes the query's rows into a temporary table and
    reads the columns of both; and with a contract it does not allow `ignore`. So this overrides what is looked at while
    it runs, and `bigquery__get_merge_sql` compares the columns with the documented ones, without a statement.
-#}
{% macro incremental_validate_on_schema_change(on_schema_change, default='ignore') -%}
    {{ return('ignore') }}
{%- endmacro %}

{#- Overrides dbt's hook for MERGE: refuses a table of other columns, fills the predicates that prune the target. -#}
{% macro bigquery__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}
    {%- set there = dest_columns | map(attribute='name') | sort -%}
    {%- if there != model.columns.keys() | sort -%}
        {{ exceptions.raise_compiler_error(
            target ~ ' has not the columns of the model: build it anew, with dbt build --full-refresh. There: '
            ~ there | join(', ')
        ) }}
    {%- endif -%}
    {%- set filled = [] -%}
    {%- for predicate in incremental_predicates or [] -%}
        {%- do filled.append(fill_window(predicate)) -%}
    {%- endfor -%}
    {{ return(default__get_merge_sql(target, source, unique_key, dest_columns, filled)) }}
{%- endmacro %}
