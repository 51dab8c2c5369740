"""Sending without Airflow, to receivers on this machine."""

import asyncio
from collections.abc import Callable

import pytest

from include.alerting import AlertDesk, Delivery, Dispatch, Severity
from include.alerting.deadman import ping
from include.alerting.routing import route
from include.alerting.senders import send
from include.config import AlertConfig, ChannelName
from tests.alerting.receivers import PAGERDUTY_KEY, Receivers


def a_test_message(config: AlertConfig) -> Dispatch:
    return AlertDesk(config, with_connections=False).test()


def test_every_channel_gets_its_own_form(receivers: Receivers, configure: Callable[..., AlertConfig]) -> None:
    """Slack blocks, a PagerDuty event, a mail with a plain and an HTML part, and our own JSON with a token."""
    config = configure(PULSE_ALERT_WEBHOOK_TOKEN="t0ken")

    deliveries = asyncio.run(send(a_test_message(config), config))

    assert deliveries == [Delivery(channel) for channel in ChannelName]
    assert receivers.received["slack"][0].body["blocks"][0]["type"] == "header"
    event = receivers.received["pagerduty"][0].body
    assert (event["routing_key"], event["event_action"]) == (PAGERDUTY_KEY, "trigger")
    assert event["dedup_key"].startswith("market-pulse/test/")
    (letter,) = receivers.mails()
    assert letter["Subject"].startswith("[market-pulse] warning: TEST: ")
    assert [part.get_content_type() for part in letter.iter_parts()] == ["text/plain", "text/html"]
    assert receivers.received["webhook"][0].headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_channel_that_refuses_keeps_no_other(
    receivers: Receivers, configure: Callable[..., AlertConfig], status: int
) -> None:
    """Its delivery says why, without the address; the others got theirs."""
    receivers.refusals = {"slack": status, "smtp": status}
    config = configure()

    errors = {each.channel: each.error for each in asyncio.run(send(a_test_message(config), config))}

    assert errors[ChannelName.PAGERDUTY] == errors[ChannelName.WEBHOOK] == ""
    assert str(status) in errors[ChannelName.SLACK]
    assert "451" in errors[ChannelName.SMTP]
    assert "not-a-real-token" not in "".join(errors.values())


def test_an_address_where_nobody_listens_is_an_error_of_its_channel_only(
    receivers: Receivers, configure: Callable[..., AlertConfig]
) -> None:
    """Also for a mail server, and within the time that channels have."""
    config = configure(
        PULSE_ALERT_SLACK_URL="http://127.0.0.1:9/services/secret-part",
        PULSE_ALERT_SMTP_PORT="9",
        PULSE_ALERT_TIMEOUT_SECONDS="1",
    )

    errors = {each.channel: each.error for each in asyncio.run(send(a_test_message(config), config))}

    assert [bool(errors[channel]) for channel in ChannelName] == [True, False, True, False]
    assert "secret-part" not in errors[ChannelName.SLACK]


def test_a_route_names_channels_and_only_those_with_an_address_are_used(configure: Callable[..., AlertConfig]) -> None:
    """Warnings do not page; a channel without address is no channel."""
    config = configure(PULSE_ALERT_WEBHOOK_URL="", PULSE_ALERT_WARNING_CHANNELS="smtp,webhook")

    assert route(config, Severity.WARNING, with_connections=False) == (ChannelName.SMTP,)
    assert route(config, Severity.CRITICAL, with_connections=False) == (
        ChannelName.PAGERDUTY,
        ChannelName.SLACK,
        ChannelName.SMTP,
    )


def test_the_sign_of_life_is_one_request(receivers: Receivers, configure: Callable[..., AlertConfig]) -> None:
    """An answer is a success; a refusal and silence are errors that do not name the address."""
    url = configure().deadman_url

    assert ping(url, timeout_seconds=5) == ""
    assert len(receivers.received["deadman"]) == 1
    receivers.refusals = {"deadman": 503}
    assert ping(url, timeout_seconds=5) == "HTTP 503"
    error = ping("http://127.0.0.1:9/ping/secret-part", timeout_seconds=1)
    assert error
    assert "secret-part" not in error
