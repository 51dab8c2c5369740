"""Steps 3 and 4: what dbt has to transform, and that it was transformed."""

from typing import Any

from include.warehouse.warehouse import Warehouse
from include.warehouse.window import Window


def open_window(warehouse: Warehouse) -> Window | None:
    """The window over everything loaded and not transformed; None when there is nothing. Changes nothing."""
    return Window.of(warehouse.ledger.loaded_not_transformed())


def close_window(warehouse: Warehouse, window: Window, *, run_id: str) -> dict[str, Any]:
    """Mark the window's batches as transformed. To be called only after dbt has succeeded over this very window.

    Batches loaded since the window was opened are not in it and stay for the next one.
    """
    marked = warehouse.ledger.mark_transformed(window.batch_ids, run_id) if window.batch_ids else 0
    return {"batches": len(window.batch_ids), "marked_now": marked, "records": window.records}
