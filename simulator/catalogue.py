"""What products there are, and their increments, usual price and usual size. Any `BASE-QUOTE` can be traded."""

from hashlib import blake2b
from typing import NamedTuple

from simulator.decimals import ONE, scaled


class Product(NamedTuple):
    """Increments, price at the first trade and usual trade size, all in 10^-8."""

    product_id: str
    quote_increment: int
    base_increment: int
    price: int
    size: int

    @property
    def base_currency(self) -> str:
        """What is traded."""
        return self.product_id.partition("-")[0]

    @property
    def quote_currency(self) -> str:
        """What it is paid with."""
        return self.product_id.partition("-")[2]


#: id: quote increment, base increment, price, size. Increments as the exchange lists them, prices of mid 2026.
_KNOWN = {
    "BTC-USD": ("0.01", "0.00000001", "63500", "0.01"),
    "ETH-USD": ("0.01", "0.00000001", "1775", "0.25"),
    "XRP-USD": ("0.0001", "0.000001", "1.1205", "400"),
    "SOL-USD": ("0.01", "0.00000001", "78.4", "5"),
    "DOGE-USD": ("0.00001", "0.1", "0.0911", "4000"),
    "LTC-USD": ("0.01", "0.00000001", "52.3", "5"),
    "ADA-USD": ("0.0001", "0.00000001", "0.2514", "1500"),
    "SHIB-USD": ("0.00000001", "1", "0.00000612", "40000000"),
    "BTC-EUR": ("0.01", "0.00000001", "55600", "0.01"),
    "ETH-BTC": ("0.00001", "0.00000001", "0.02795", "0.2"),
}


def product(product_id: str) -> Product:
    """Facts of a product: of the well-known ones as listed, of any other one made up from its name, always the same."""
    if known := _KNOWN.get(product_id):
        quote_increment, base_increment, price, size = (scaled(text) for text in known)
        return Product(product_id, quote_increment, base_increment, price, size)
    digest = blake2b(product_id.encode(), digest_size=8).digest()
    quote_increment = 10 ** (digest[0] % 7)
    base_increment = 10 ** (digest[1] % 9)
    price = quote_increment * (10_000 + int.from_bytes(digest[2:6]) % 90_000)
    usual_notional = scaled("0.01") if product_id.endswith(("-BTC", "-ETH")) else 500 * ONE
    size = max(base_increment, usual_notional * ONE // price)
    return Product(product_id, quote_increment, base_increment, price, size)
