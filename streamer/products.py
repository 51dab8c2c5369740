"""From PULSE_PRODUCTS to product ids: the rules, and what is known of their meaning."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from include.coinbase import Product
from include.config import StreamerConfig
from streamer.feed_status import utc

_ALL: Final = "all"
_QUOTE: Final = "quote:"


def resolve(config: StreamerConfig, listed: Iterable[Product]) -> tuple[str, ...]:
    """What PULSE_PRODUCTS means under a listing: the ids, listed or not, then what fits a rule, sorted.

    Products that are not traded fit no rule.
    """
    rules = config.product_rules()
    quotes = {rule.removeprefix(_QUOTE) for rule in rules if rule.startswith(_QUOTE)}
    fitting = (
        product.id for product in listed if product.is_traded and (_ALL in rules or product.quote_currency in quotes)
    )
    return tuple(dict.fromkeys((*config.product_ids(), *sorted(fitting))))


@dataclass(slots=True)
class ProductsStatus:
    """What is known of the products to capture."""

    rules: tuple[str, ...]
    """Entries of PULSE_PRODUCTS that the exchange's listing resolves."""
    products: tuple[str, ...]
    """All that are to be captured; before the first resolution those given by their ids."""
    resolved_at_us: int = 0
    """When the rules were last resolved, in microseconds since the epoch; 0 before the first time."""
    last_error: str = ""
    """Why the last resolution failed; empty when it did not."""

    @property
    def pending(self) -> bool:
        """Whether there are rules that were never resolved."""
        return bool(self.rules) and not self.resolved_at_us

    def as_json(self) -> dict[str, Any]:
        """Its part of /status."""
        return {
            "rules": self.rules,
            "count": len(self.products),
            "resolved_at": utc(self.resolved_at_us),
            "last_error": self.last_error,
        }


class ProductChange(NamedTuple):
    """The result of a resolution that differs from what was captured before, or is the first."""

    rules: tuple[str, ...]
    products: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
