{#- The sums of this model's columns are those of another's, for each value of `by`; 1 counts the other's rows. -#}
{% test sums_agree(model, to, by, sums, to_sums) %}

with

here as (

    select
        {%- for column in sums %}
        coalesce(sum({{ column }}), 0) as here_{{ loop.index }},
        {%- endfor %}
        {{ by | join(', ') }}
    from {{ model }}
    group by {{ by | join(', ') }}

),

there as (

    select
        {%- for column in to_sums %}
        sum({{ column }}) as there_{{ loop.index }},
        {%- endfor %}
        {{ by | join(', ') }}
    from {{ get_where_subquery(to) }}
    group by {{ by | join(', ') }}

)

select *
from here
full outer join there using ({{ by | join(', ') }})
where
    {%- for column in sums %}
    coalesce(here_{{ loop.index }}, 0) != coalesce(there_{{ loop.index }}, 0) or
    {%- endfor %}
    false

{% endtest %}
