{#-
    What orders the copies of a message: the receipt, then, for one record that was loaded more than once, the load. No
    two rows of raw agree in all of it, so which copy is the row does not depend on the order of arrival.
-#}
{% macro receipt_order() -%}
    {{ return(['received_at', 'session_id', 'record_no', 'loaded_at', 'batch_id']) }}
{%- endmacro %}

{#- Whether copy `a` of a message comes before copy `b`. -#}
{% macro is_earlier_receipt(a, b) -%}
    (
        {%- for column in receipt_order() %}
        {{ 'or ' if not loop.first }}(
            {%- for earlier in receipt_order()[:loop.index0] %}
            {{ a }}.{{ earlier }} = {{ b }}.{{ earlier }} and
            {%- endfor %}
            {{ a }}.{{ column }} < {{ b }}.{{ column }}
        )
        {%- endfor %}
    )
{%- endmacro %}
