"""Subscribing: the request, the exchange's acknowledgement, and what was refused."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

import msgspec

from include.coinbase.errors import FeedMessageError

#: Channel as requested → channel as acknowledged.
ALIASES: Mapping[str, str] = {"level2_batch": "level2_50"}

#: Channels that cover the whole exchange: their acknowledgement names no products.
PRODUCTLESS = frozenset({"status"})


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] | None = None


class _Acknowledgement(msgspec.Struct):
    channels: list[_Channel | str]


class Subscription(NamedTuple):
    """One channel and its products, sorted and distinct."""

    name: str
    product_ids: tuple[str, ...]


class Comparison(NamedTuple):
    """What was asked for against what the exchange says is subscribed now. Each list is sorted by channel."""

    requested: tuple[Subscription, ...]
    granted: tuple[Subscription, ...]
    refused: tuple[Subscription, ...]
    """Requested, not granted; under the requested channel name."""
    unrequested: tuple[Subscription, ...]
    """Granted, not requested; under the granted name. A replayed recording acknowledges what it once was asked for."""

    def grants(self, channel: str) -> bool:
        """Whether a channel, called as in the request, is granted for any product."""
        name = ALIASES.get(channel, channel)
        return any(given == name and (ids or name in PRODUCTLESS) for given, ids in self.granted)


_decoder = msgspec.json.Decoder(_Acknowledgement)


def subscribe_message(products: Iterable[str], channels: Iterable[str]) -> str:
    """The request for every channel on every product. The exchange wants it within 5 s of connecting."""
    request = {"type": "subscribe", "product_ids": list(products), "channels": list(channels)}
    return msgspec.json.encode(request).decode()


def request_message(type_: Literal["subscribe", "unsubscribe"], subscriptions: Iterable[Subscription]) -> str:
    """A request for exactly these products of these channels: the form for changes on an open connection.

    What is subscribed already is left out: asked for again, the exchange would send its snapshots again.
    """
    request = {"type": type_, "channels": [subscription._asdict() for subscription in subscriptions]}
    return msgspec.json.encode(request).decode()


def parse_subscriptions(frame: bytes) -> tuple[Subscription, ...]:
    """Read a `subscriptions` frame: everything subscribed by now (it is cumulative), in whatever order it came.

    Raises FeedMessageError when the channels are not where they should be.
    """
    try:
        acknowledgement = _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeedMessageError(f"subscriptions frame not understood: {error}") from None
    granted: dict[str, set[str]] = {}
    for channel in acknowledgement.channels:
        name, product_ids = (channel, None) if isinstance(channel, str) else (channel.name, channel.product_ids)
        granted.setdefault(name, set()).update(product_ids or ())
    return _subscriptions(granted)


def compare(products: Iterable[str], channels: Iterable[str], granted: Iterable[Subscription]) -> Comparison:
    """Compare a request with an acknowledgement. An aliased channel is the same channel."""
    wanted = frozenset(products)
    requested = {channel: frozenset[str]() if channel in PRODUCTLESS else wanted for channel in channels}
    expected = {ALIASES.get(channel, channel): product_ids for channel, product_ids in requested.items()}
    given = {name: frozenset(product_ids) for name, product_ids in granted}
    refused = {}
    for channel, product_ids in requested.items():
        name = ALIASES.get(channel, channel)
        missing = product_ids - given.get(name, frozenset())
        if missing or name not in given:
            refused[channel] = missing
    unrequested = {}
    for name, product_ids in given.items():
        extra = product_ids - expected.get(name, frozenset())
        if name not in expected or (extra and name not in PRODUCTLESS):
            unrequested[name] = extra
    return Comparison(
        requested=_subscriptions(requested),
        granted=_subscriptions(given),
        refused=_subscriptions(refused),
        unrequested=_subscriptions(unrequested),
    )


def _subscriptions(channels: Mapping[str, AbstractSet[str]]) -> tuple[Subscription, ...]:
    return tuple(Subscription(name, tuple(sorted(product_ids))) for name, product_ids in sorted(channels.items()))
