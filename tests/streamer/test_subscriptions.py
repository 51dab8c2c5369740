"""The conversation about subscriptions on one connection, as a pure state."""

import json
from typing import Any

from include.coinbase import FeedError, Subscription
from streamer.subscriptions import Subscriptions

CHANNELS = ("matches", "heartbeat")


def begun(*products: str, channels: tuple[str, ...] = CHANNELS) -> Subscriptions:
    """A conversation whose first request was sent."""
    subscriptions = Subscriptions(products, channels)
    subscriptions.first_request()
    return subscriptions


def granted(*products: str, channels: tuple[str, ...] = CHANNELS) -> tuple[Subscription, ...]:
    """What an acknowledgement of all channels says."""
    return tuple(Subscription(channel, products) for channel in sorted(channels))


def requests(subscriptions: Subscriptions) -> list[tuple[str, dict[str, list[str]]]]:
    """Type, channels and products of what is to be sent now."""
    decoded: list[dict[str, Any]] = [json.loads(request) for request in subscriptions.requests()]
    return [
        (request["type"], {channel["name"]: channel["product_ids"] for channel in request["channels"]})
        for request in decoded
    ]


def test_nothing_is_due_while_all_is_granted() -> None:
    """Time alone asks for nothing."""
    subscriptions = begun("BTC-USD")
    subscriptions.acknowledged(granted("BTC-USD"))
    subscriptions.ask_again()
    assert not subscriptions.due


def test_only_what_is_new_is_subscribed_and_only_what_is_not_wanted_dropped() -> None:
    """What stays is not mentioned: the exchange would repeat its last trade."""
    subscriptions = begun("BTC-USD", "ETH-USD")
    subscriptions.acknowledged(granted("BTC-USD", "ETH-USD"))
    subscriptions.want(["BTC-USD", "XRP-USD"])
    assert requests(subscriptions) == [
        ("unsubscribe", {"matches": ["ETH-USD"], "heartbeat": ["ETH-USD"]}),
        ("subscribe", {"matches": ["XRP-USD"], "heartbeat": ["XRP-USD"]}),
    ]
    assert not subscriptions.due
    assert requests(subscriptions) == []


def test_refused_topics_are_asked_for_again_and_no_others() -> None:
    """The channel that was granted is left out."""
    subscriptions = begun("BTC-USD", "ETH-USD")
    subscriptions.acknowledged(
        (Subscription("heartbeat", ("BTC-USD", "ETH-USD")), Subscription("matches", ("BTC-USD",)))
    )
    assert subscriptions.refused == (Subscription("matches", ("ETH-USD",)),)
    subscriptions.ask_again()
    assert requests(subscriptions) == [("subscribe", {"matches": ["ETH-USD"]})]
    subscriptions.acknowledged(granted("BTC-USD", "ETH-USD"))
    assert not subscriptions.refused


def test_refused_product_that_is_not_wanted_any_more_is_forgotten() -> None:
    """It is neither unsubscribed, since it never was subscribed, nor reported any longer."""
    subscriptions = begun("BTC-USD", "OLD-USD")
    subscriptions.acknowledged(granted("BTC-USD"))
    subscriptions.want(["BTC-USD"])
    assert requests(subscriptions) == []
    assert subscriptions.refused == ()


def test_product_named_by_an_error_is_refused_without_an_acknowledgement() -> None:
    """Where nothing of a request is granted, the error is the only answer."""
    subscriptions = begun("BTC-USD")
    subscriptions.acknowledged(granted("BTC-USD"))
    subscriptions.want(["BTC-USD", "NEW-USD"])
    assert len(requests(subscriptions)) == 1
    subscriptions.denied(FeedError("Failed to subscribe", "NEW-USD is not a valid product"))
    assert subscriptions.refused == (Subscription("heartbeat", ("NEW-USD",)), Subscription("matches", ("NEW-USD",)))


def test_error_about_something_else_refuses_nothing() -> None:
    """Products that nobody asked for, and those that are granted, are not refused by being named."""
    subscriptions = begun("BTC-USD")
    subscriptions.acknowledged(granted("BTC-USD"))
    subscriptions.denied(FeedError("Failed to subscribe", "OLD-USD is delisted"))
    subscriptions.denied(FeedError("Slow down", "BTC-USD is busy"))
    assert subscriptions.refused == ()


def test_channel_without_products_is_asked_for_again_by_its_name() -> None:
    """`status` covers the whole exchange; a change of products does not repeat it."""
    subscriptions = begun("BTC-USD", channels=("matches", "status"))
    subscriptions.acknowledged(granted("BTC-USD", channels=("matches",)))
    subscriptions.ask_again()
    assert requests(subscriptions) == [("subscribe", {"status": []})]
    subscriptions.acknowledged((*granted("BTC-USD", channels=("matches",)), Subscription("status", ())))
    subscriptions.want(["BTC-USD", "ETH-USD"])
    assert requests(subscriptions) == [("subscribe", {"matches": ["ETH-USD"]})]
