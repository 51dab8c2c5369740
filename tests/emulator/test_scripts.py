"""Scripts as dbt writes them."""

from typing import Any


def test_set_from_struct(warehouse: Any) -> None:
    """SET from a SELECT AS STRUCT gives each variable the field at its place."""
    script = """
        declare days array<date>;
        declare label string;
        set (days, label) = (
            select as struct array_agg(distinct day order by day), max(name)
            from unnest([struct(date '2026-07-07' as day, 'a' as name), (date '2026-07-08', 'b')])
        );
        select array_length(days), label;
    """
    assert warehouse.rows(script) == [(2, "b")]


def test_set_one_from_struct(warehouse: Any) -> None:
    """One variable in parentheses gets the only field: dbt's dynamic insert_overwrite."""
    script = """
        declare days array<date>;
        set (days) = (select as struct array_agg(day) from unnest([date '2026-07-07']) day);
        select array_length(days);
    """
    assert warehouse.rows(script) == [(1,)]


def test_set_from_tuple(warehouse: Any) -> None:
    """SET from a tuple still works."""
    assert warehouse.rows("declare a int64; declare b int64; set (a, b) = (1, 2); select a, b") == [(1, 2)]
