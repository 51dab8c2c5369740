"""The window: what is loaded and not yet in the marts, and between which instants its rows lie.

It comes from the ledger, never from a clock or a MAX(), so it also covers late segments and runs that failed before;
it is closed only after dbt has succeeded.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import msgspec

if TYPE_CHECKING:
    from include.warehouse.ledger import LoadedBatch

#: What dbt reads (include/dbt/macros/window.sql): RFC 3339, UTC, six decimals; both bounds are inclusive. The last one
#: is `1` for a rebuild, else empty.
WINDOW_VARIABLES = (
    "DBT_WINDOW_RECEIVED_FROM",
    "DBT_WINDOW_RECEIVED_TO",
    "DBT_WINDOW_TRADED_FROM",
    "DBT_WINDOW_TRADED_TO",
    "DBT_WINDOW_REBUILD",
)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A set of batches and the bounds of their rows (the manifests' text form). Holds at least one batch.

    The bounds may enclose rows of other batches: transforming a row again is harmless, missing one is not.

    With `is_rebuild` the window is one of whole days that are transformed already: it has no batches to be marked, and
    what the marts have of trades of these days does not count.
    """

    batch_ids: tuple[str, ...]
    records: int
    received_at_min: str
    received_at_max: str
    traded_at_min: str | None
    traded_at_max: str | None
    is_rebuild: bool = False

    @classmethod
    def of(cls, batches: Sequence["LoadedBatch"]) -> Self | None:
        """The window over these batches, None where there are none."""
        if not batches:
            return None
        return cls(
            batch_ids=tuple(batch.batch_id for batch in batches),
            records=sum(batch.records for batch in batches),
            received_at_min=min(batch.received_at_min for batch in batches),
            received_at_max=max(batch.received_at_max for batch in batches),
            traded_at_min=min((batch.traded_at_min for batch in batches if batch.traded_at_min), default=None),
            traded_at_max=max((batch.traded_at_max for batch in batches if batch.traded_at_max), default=None),
        )

    def to_environment(self) -> dict[str, str]:
        """The bounds as dbt reads them. A window without a trade has two empty trade bounds: no trade time is in it."""
        bounds = (
            self.received_at_min,
            self.received_at_max,
            self.traded_at_min or "",
            self.traded_at_max or "",
            "1" if self.is_rebuild else "",
        )
        return dict(zip(WINDOW_VARIABLES, bounds, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for an XCom."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """From `to_dict`; other members are ignored. Raises msgspec.ValidationError."""
        return msgspec.convert(dict(fields), cls)
