"""include.coinbase: requests and acknowledgements, as pure functions."""

import json

import pytest

from include.coinbase import (
    FeedError,
    FeedMessageError,
    Subscription,
    compare,
    parse_error,
    parse_subscriptions,
    request_message,
    subscribe_message,
)

PRODUCTS = ("BTC-USD", "ETH-USD")


def acknowledgement(**channels: list[str]) -> bytes:
    """A `subscriptions` frame as the exchange writes it."""
    rows = [{"name": name, "product_ids": product_ids, "account_ids": None} for name, product_ids in channels.items()]
    return json.dumps({"type": "subscriptions", "channels": rows}).encode()


def test_request_names_every_product_and_channel() -> None:
    """The subscribe message is the documented JSON object."""
    assert json.loads(subscribe_message(PRODUCTS, ("matches", "heartbeat"))) == {
        "type": "subscribe",
        "product_ids": ["BTC-USD", "ETH-USD"],
        "channels": ["matches", "heartbeat"],
    }


def test_request_can_name_single_topics() -> None:
    """The other documented form gives every channel products of its own."""
    wanted = [Subscription("matches", ("BTC-USD",)), Subscription("heartbeat", PRODUCTS)]
    assert json.loads(request_message("unsubscribe", wanted)) == {
        "type": "unsubscribe",
        "channels": [
            {"name": "matches", "product_ids": ["BTC-USD"]},
            {"name": "heartbeat", "product_ids": ["BTC-USD", "ETH-USD"]},
        ],
    }


def test_everything_granted_refuses_nothing() -> None:
    """The order of channels and products in an acknowledgement means nothing."""
    granted = parse_subscriptions(acknowledgement(ticker=["ETH-USD", "BTC-USD"], matches=["BTC-USD", "ETH-USD"]))
    comparison = compare(PRODUCTS, ("matches", "ticker"), granted)
    assert comparison.granted == (Subscription("matches", PRODUCTS), Subscription("ticker", PRODUCTS))
    assert comparison.requested == comparison.granted
    assert comparison.refused == ()
    assert comparison.unrequested == ()


def test_product_missing_in_one_channel_is_refused_there_only() -> None:
    """A refusal names the channel and the product."""
    granted = parse_subscriptions(acknowledgement(matches=["BTC-USD"], ticker=["BTC-USD", "ETH-USD"]))
    assert compare(PRODUCTS, ("matches", "ticker"), granted).refused == (Subscription("matches", ("ETH-USD",)),)


def test_channel_missing_altogether_is_refused_for_every_product() -> None:
    """A channel that the acknowledgement does not name is refused whole."""
    granted = parse_subscriptions(acknowledgement(matches=["BTC-USD", "ETH-USD"]))
    assert compare(PRODUCTS, ("matches", "full"), granted).refused == (Subscription("full", PRODUCTS),)


def test_aliased_channel_is_the_same_channel() -> None:
    """level2_batch is acknowledged as level2_50: neither refused nor unrequested."""
    granted = parse_subscriptions(acknowledgement(level2_50=["BTC-USD", "ETH-USD"]))
    comparison = compare(PRODUCTS, ("level2_batch",), granted)
    assert comparison.refused == ()
    assert comparison.unrequested == ()
    assert comparison.grants("level2_batch")


def test_refused_alias_is_reported_under_the_requested_name() -> None:
    """The operator finds the name he configured in the report."""
    granted = parse_subscriptions(acknowledgement(level2_50=["BTC-USD"]))
    assert compare(PRODUCTS, ("level2_batch",), granted).refused == (Subscription("level2_batch", ("ETH-USD",)),)


def test_grant_nobody_asked_for_is_reported() -> None:
    """Unrequested channels and products show, for example when a recording is replayed."""
    granted = parse_subscriptions(acknowledgement(matches=["ADA-USD", "BTC-USD"], level2_50=["ADA-USD"]))
    comparison = compare(("BTC-USD",), ("matches",), granted)
    assert comparison.refused == ()
    assert comparison.unrequested == (Subscription("level2_50", ("ADA-USD",)), Subscription("matches", ("ADA-USD",)))


def test_status_channel_is_granted_without_products() -> None:
    """A channel over the whole exchange has no products to refuse."""
    granted = parse_subscriptions(b'{"type":"subscriptions","channels":[{"name":"status"}]}')
    assert compare(PRODUCTS, ("status",), granted).refused == ()
    assert compare(PRODUCTS, ("status",), ()).refused == (Subscription("status", ()),)


def test_channels_given_as_plain_names_and_null_products_are_read() -> None:
    """Both documented forms of a channel are understood; null product_ids are none."""
    frame = b'{"type":"subscriptions","channels":["status",{"name":"matches","product_ids":null}]}'
    assert parse_subscriptions(frame) == (Subscription("matches", ()), Subscription("status", ()))


@pytest.mark.parametrize(
    "frame", [b'{"type":"subscriptions"}', b'{"channels":[1]}', b"{", b'{"channels":[{"name":"\xff"}]}']
)
def test_acknowledgement_of_another_shape_is_an_error(frame: bytes) -> None:
    """What cannot be read is not taken for an empty acknowledgement."""
    with pytest.raises(FeedMessageError):
        parse_subscriptions(frame)


def test_error_frame_reads_as_one_sentence() -> None:
    """Message and reason are joined; a missing reason leaves the message alone."""
    frame = b'{"type":"error","message":"Failed to subscribe","reason":"ETH-USD is not a valid product"}'
    assert str(parse_error(frame)) == "Failed to subscribe: ETH-USD is not a valid product"
    assert parse_error(b'{"type":"error","message":"nope"}') == FeedError("nope")
    assert str(FeedError("nope")) == "nope"


def test_error_frame_of_another_shape_is_an_error() -> None:
    """A message that is not text is refused."""
    with pytest.raises(FeedMessageError):
        parse_error(b'{"type":"error","message":{}}')
