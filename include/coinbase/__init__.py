"""The exchange's side of the conversation: what is sent to it and what its answers mean.

Of the feed pure functions over bytes and text: no sockets, no clocks. The client of the REST API is imported by its
own name, `include.coinbase.rest`: only it needs aiohttp. Nothing of ours is imported. The facts come from the Coinbase
Exchange documentation and from recorded traffic.
"""

from include.coinbase.errors import FeedError, FeedMessageError, parse_error
from include.coinbase.product import Product
from include.coinbase.subscription import (
    PRODUCTLESS,
    Comparison,
    Subscription,
    compare,
    parse_subscriptions,
    request_message,
    subscribe_message,
)

__all__ = [
    "PRODUCTLESS",
    "Comparison",
    "FeedError",
    "FeedMessageError",
    "Product",
    "Subscription",
    "compare",
    "parse_error",
    "parse_subscriptions",
    "request_message",
    "subscribe_message",
]
