"""How messages deviate from their contracts: table `drift_observations` and view `schema_drift` of the ops dataset."""

from collections.abc import Iterable

import msgspec

from include.spool import Manifest
from include.warehouse.statements import Statements


class DriftLog:
    """Keeps what the manifests say. Every method can be repeated; all raise what `Statements` raises."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, manifests: Iterable[Manifest]) -> int:
        """Write down the drift of these segments; how many observations were new. Costs nothing without drift."""
        observations = [
            {
                **msgspec.to_builtins(drift),
                "segment": manifest.segment,
                "received_at_min": manifest.received_at_min,
                "received_at_max": manifest.received_at_max,
            }
            for manifest in manifests
            for drift in manifest.drift
        ]
        if not observations:
            return 0
        return self._statements.change("add_drift", observations=msgspec.json.encode(observations).decode())
