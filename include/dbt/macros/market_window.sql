{#-
    The UTC days a window can touch, as DATE literals, both inclusive.

    The window's trade times and its receipts together, widened by the slack between a message's time and its receipt:
    a heartbeat is no trade, and lies beside the trades' range. In a replay the days between the old times and the
    receipts are empty and cost nothing.

    days: so many days more at either end. What a minute says depends on its neighbours (see neighbour_minutes), so a
    model that writes neighbours looks one day further, and reads the neighbours of those one day further still.
-#}
{% macro market_date(end, days=0) -%}
    {%- set received = window_bound('received', end) -%}
    {%- set traded = window_bound('traded', end) -%}
    {%- set everything = {'from': '1970-01-01', 'to': '9999-12-31'} -%}
    {%- set is_empty = window_bound('traded', 'from') > window_bound('traded', 'to') -%}
    {%- if received[:10] == everything[end] -%}
        date '{{ everything[end] }}'
    {%- else -%}
        {%- set pattern = '%Y-%m-%dT%H:%M:%S.%fZ' -%}
        {%- set slack = modules.datetime.timedelta(minutes=10 if end == 'to' else -10) -%}
        {%- set widened = modules.datetime.datetime.strptime(received, pattern) + slack -%}
        {%- set bounds = [widened.strftime(pattern)] if is_empty else [widened.strftime(pattern), traded] -%}
        {%- set bound = bounds | max if end == 'to' else bounds | min -%}
        {%- set day = modules.datetime.datetime.strptime(bound, pattern) -%}
        {%- set further = modules.datetime.timedelta(days=days if end == 'to' else -days) -%}
        date '{{ (day + further).strftime('%Y-%m-%d') }}'
    {%- endif -%}
{%- endmacro %}

{#- What an incremental model of days reads: the days of the window; all of them when its table is created. -#}
{% macro in_market_days(column, days=0) -%}
    {%- if is_incremental() -%}
        {{ column }} between {{ market_date('from', days) }} and {{ market_date('to', days) }}
    {%- else -%}
        {{ column }} >= date '1970-01-01'
    {%- endif -%}
{%- endmacro %}

{#-
    How far, in minutes, one minute looks for its neighbours: the last known price, the trade before, the proof after.
    A day, so that BigQuery reads two days to either side and no more. A product that was silent or not received for
    longer has no rows in between.
-#}
{% macro neighbour_minutes() -%}
    1440
{%- endmacro %}
