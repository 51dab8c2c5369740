"""Products as `GET /products` lists them."""

import msgspec


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the listing. Delisted products stay listed; amounts are decimal strings, as sent.

    `display_name` comes in two styles ("BTC-USD", "BTC/USD"): never a key.
    """

    id: str
    base_currency: str
    quote_currency: str
    base_increment: str
    """Sizes are multiples of it."""
    quote_increment: str
    """Prices are multiples of it."""
    status: str
    trading_disabled: bool
    display_name: str = ""
    status_message: str = ""
    min_market_funds: str = ""
    """Least amount of quote currency that a market order may spend."""
    post_only: bool = False
    limit_only: bool = False
    cancel_only: bool = False
    auction_mode: bool = False
    fx_stablecoin: bool = False

    @property
    def is_traded(self) -> bool:
        """Whether trades of it can be expected."""
        return self.status == "online" and not self.trading_disabled
