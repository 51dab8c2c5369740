"""BigQuery: client, schemas, the ledger of batches, load jobs, the dbt window.

Importing this package is cheap. `Warehouse` is imported at its first use because it brings `google.cloud.bigquery`,
which takes a second and 60 MB: use it inside tasks, never at the top of a DAG file.
"""

from typing import TYPE_CHECKING, Any

from include.warehouse.window import WINDOW_VARIABLES, Window

if TYPE_CHECKING:
    from include.warehouse.warehouse import Warehouse

__all__ = ["WINDOW_VARIABLES", "Warehouse", "Window"]


def __getattr__(name: str) -> Any:
    if name == "Warehouse":
        from include.warehouse.warehouse import Warehouse  # noqa: PLC0415 - see above

        return Warehouse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
