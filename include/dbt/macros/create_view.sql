{#-
    Overrides dbt's statement that makes a view: none where the view is there and was made of the same text, which its
    label tells. Most models are views, and a run every two minutes would make each of them anew, with two more
    statements for its contract.
-#}
{% macro bigquery__create_view_as(relation, sql) -%}
    {%- set definition = local_md5(sql) -%}
    {%- set existing = adapter.get_bq_table(relation) -%}
    {%- if existing and existing.labels.get('definition') == definition -%}
        select 1
    {%- else -%}
        create or replace view {{ relation }}
        options (labels = [('definition', '{{ definition }}')])
        {%- if config.get('contract').enforced -%}
            {{ get_assert_columns_equivalent(sql) }}
        {%- endif %}
        as {{ sql }}
    {%- endif -%}
{%- endmacro %}
