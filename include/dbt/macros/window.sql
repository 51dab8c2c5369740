{#-
    The window of a run: which receipts to read and which trades they can touch, both bounds inclusive.

    The ledger decides it and the environment carries it (DBT_WINDOW_RECEIVED_FROM/TO, DBT_WINDOW_TRADED_FROM/TO,
    RFC 3339, UTC, six decimals). It reaches SQL as literals only, because BigQuery prunes partitions on constants.

    received set, traded set    the window
    received set, traded empty  a window without a trade: the traded range is empty
    nothing set                 a run by hand: everything

    The variables are read while a model executes, never while it is parsed: dbt re-parses what read a variable that
    changed, and the manifest that Cosmos runs was parsed before any window was known.
-#}

{#- One bound as text. clock: received | traded; end: from | to. -#}
{% macro window_bound(clock, end) -%}
    {%- set everything = {
        'from': '1970-01-01T00:00:00.000000Z',
        'to': '9999-12-31T23:59:59.999999Z',
    } -%}
    {%- if not execute -%}{{ return(everything[end]) }}{%- endif -%}

    {%- set bounds = {} -%}
    {%- for each_clock in ['received', 'traded'] -%}
        {%- for each_end in ['from', 'to'] -%}
            {%- set name = 'DBT_WINDOW_' ~ each_clock | upper ~ '_' ~ each_end | upper -%}
            {%- set value = env_var(name, '') -%}
            {%- if value and not modules.re.fullmatch(
                '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z', value
            ) -%}
                {{ exceptions.raise_compiler_error(
                    name ~ "='" ~ value ~ "': expected UTC with six decimals, as 2026-07-07T22:58:16.123456Z"
                ) }}
            {%- endif -%}
            {%- do bounds.update({each_clock ~ '_' ~ each_end: value}) -%}
        {%- endfor -%}
        {%- if (bounds[each_clock ~ '_from'] == '') != (bounds[each_clock ~ '_to'] == '') -%}
            {{ exceptions.raise_compiler_error(
                'DBT_WINDOW_' ~ each_clock | upper ~ '_FROM and _TO: set both or neither'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- if bounds['traded_from'] and not bounds['received_from'] -%}
        {{ exceptions.raise_compiler_error('DBT_WINDOW_TRADED_* is set without DBT_WINDOW_RECEIVED_*') }}
    {%- endif -%}

    {%- if not bounds['received_from'] -%}
        {{ return(everything[end]) }}
    {%- elif not bounds[clock ~ '_from'] -%}
        {#- Exchanged ends: a constant range that holds nothing. -#}
        {{ return(everything['to' if end == 'from' else 'from']) }}
    {%- else -%}
        {{ return(bounds[clock ~ '_' ~ end]) }}
    {%- endif -%}
{%- endmacro %}

{#- A TIMESTAMP literal. -#}
{% macro window_timestamp(clock, end) -%}
    timestamp '{{ window_bound(clock, end) }}'
{%- endmacro %}

{#- The DATE literal of the UTC day a bound lies in, for tables partitioned by day. -#}
{% macro window_date(clock, end) -%}
    date '{{ window_bound(clock, end)[:10] }}'
{%- endmacro %}

{#-
    Whether a row that a mart has may count as known. Always, but in a rebuild (DBT_WINDOW_REBUILD is 1) not those of the
    days traded in the window: they are made of raw alone, and replaced.
-#}
{% macro is_kept(date_column) -%}
    {%- if execute and env_var('DBT_WINDOW_REBUILD', '') == '1' -%}
        {{ date_column }} not between {{ window_date('traded', 'from') }} and {{ window_date('traded', 'to') }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- What an incremental model reads: the rows of the window; all of them when its table is created. -#}
{% macro in_window(column, clock) -%}
    {%- if is_incremental() -%}
        {{ column }} between {{ window_timestamp(clock, 'from') }} and {{ window_timestamp(clock, 'to') }}
    {%- else -%}
        {{ column }} >= timestamp '1970-01-01T00:00:00Z'
    {%- endif -%}
{%- endmacro %}

{#- What a model of hours reads: the whole hours the window's receipts lie in; all of them when its table is created. -#}
{% macro in_window_hours(column) -%}
    {%- if is_incremental() -%}
        {{ column }} between
        timestamp '{{ window_bound('received', 'from')[:13] }}:00:00.000000Z'
        and timestamp '{{ window_bound('received', 'to')[:13] }}:59:59.999999Z'
    {%- else -%}
        {{ column }} >= timestamp '1970-01-01T00:00:00Z'
    {%- endif -%}
{%- endmacro %}
