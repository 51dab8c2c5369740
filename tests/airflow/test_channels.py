"""Sending through the providers' own hooks, to receivers on this machine, judged by the services' schemas."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from include.alerting import ALERTS, AlertDesk, Delivery, Dispatch, Facts, Occurrence, Waiting, payloads
from include.config import AlertConfig, ChannelName, load
from tests.alerting.receivers import PAGERDUTY_KEY, SCHEMAS, SLACK_PATH, WEBHOOK_PATH, Receivers


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """All channels, on this machine."""
    with Receivers() as receivers:
        yield receivers


@pytest.fixture
def configure(receivers: Receivers, tmp_path: Path) -> Callable[..., AlertConfig]:
    """Settings that point to the receivers; keywords change variables."""

    def make(**changed: str) -> AlertConfig:
        return load(AlertConfig, {"PULSE_HOME": str(tmp_path), **receivers.settings(), **changed})

    return make


def dispatches(config: AlertConfig, alert_id: str, detail: str = "boom") -> list[Dispatch]:
    """An incident's opening and its recovery."""
    desk = AlertDesk(config, with_connections=True)
    occurrence = Occurrence(
        alert_id=alert_id,
        scope="market_pulse",
        what="market_pulse.dbt.models.marts.fct_trades_run",
        detail=detail,
        at=datetime.now(UTC),
        run_id="manual__2026-01-01",
        log_url="http://127.0.0.1:8080/dags/market_pulse/runs/x/tasks/y?try_number=1",
        facts=Facts(stale_marts=("fct_candles_1m", "fct_trades"), waiting=Waiting(12, 34_567_890)),
    )
    return [*desk.report(occurrence), *desk.recover("market_pulse")]


def judge(channel: str, body: Any) -> None:
    schema = json.loads((SCHEMAS / f"{channel}.json").read_text())
    jsonschema.validate(body, schema, cls=jsonschema.Draft202012Validator)


def test_every_channel_takes_an_incident_and_its_recovery(
    receivers: Receivers, configure: Callable[..., AlertConfig]
) -> None:
    """By the hooks of the Slack, PagerDuty, SMTP and HTTP providers; PagerDuty is triggered, then resolved."""
    from market_pulse.channels import send

    config = configure()
    for dispatch in dispatches(config, "transformation_failed"):
        assert [each.error for each in send(dispatch, config)] == [""] * 4

    first, last = (each.body for each in receivers.received["pagerduty"])
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert first["routing_key"] == PAGERDUTY_KEY
    assert [each.body["kind"] for each in receivers.received["webhook"]] == ["opened", "recovered"]
    opened, recovered = receivers.mails()
    assert opened["To"] == "oncall@example.org"
    assert recovered["Subject"].startswith("[market-pulse] critical: RECOVERED: dbt failed")
    assert opened["References"] == recovered["References"]
    assert receivers.problems() == []


@pytest.mark.parametrize("alert_id", sorted(ALERTS))
@pytest.mark.parametrize("detail", ["boom", "<&>" * 5000, "", "é\n" * 3000])
def test_every_alert_keeps_to_the_limits_of_the_services(
    configure: Callable[..., AlertConfig], alert_id: str, detail: str
) -> None:
    """Whatever the error text is: 3,000 characters a Slack section, 150 a header, 1,024 a PagerDuty summary."""
    config = configure(PULSE_ALERT_RUNBOOK_URL="https://runbooks.example/")
    for dispatch in dispatches(config, alert_id, detail):
        message = dispatch.message
        judge("slack", payloads.slack(message))
        judge("webhook", payloads.webhook(message))
        judge("pagerduty", {"routing_key": PAGERDUTY_KEY, **payloads.pagerduty(message)})


@pytest.mark.parametrize(
    ("channel", "body"),
    [
        ("slack", {"text": "x", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}),
        ("slack", {"text": "x", "channel": "#general"}),
        ("slack", {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}),
        ("pagerduty", {"routing_key": PAGERDUTY_KEY, "event_action": "trigger"}),
        ("pagerduty", {"routing_key": PAGERDUTY_KEY, "event_action": "resolve"}),
        (
            "pagerduty",
            {
                "routing_key": "short",
                "event_action": "trigger",
                "payload": {"summary": "x", "source": "x", "severity": "critical"},
            },
        ),
        (
            "pagerduty",
            {
                "routing_key": PAGERDUTY_KEY,
                "event_action": "trigger",
                "payload": {"summary": "x", "source": "x", "severity": "bad"},
            },
        ),
    ],
)
def test_the_schemas_refuse_what_the_services_refuse(channel: str, body: dict[str, Any]) -> None:
    """So that the judgement above can fail."""
    with pytest.raises(jsonschema.ValidationError):
        judge(channel, body)


def test_a_channel_that_is_down_keeps_no_other(receivers: Receivers, configure: Callable[..., AlertConfig]) -> None:
    """Each delivery says why it failed, and none of them names an address or a key."""
    from market_pulse.channels import send

    receivers.refusals = {"slack": 403, "smtp": 451}
    config = configure(PULSE_ALERT_PAGERDUTY_URL="http://127.0.0.1:9")
    (opening, _) = dispatches(config, "load_failed")

    deliveries = {each.channel: each.error for each in send(opening, config)}

    assert deliveries[ChannelName.WEBHOOK] == ""
    assert all(deliveries[channel] for channel in (ChannelName.SLACK, ChannelName.SMTP, ChannelName.PAGERDUTY))
    assert "not-a-real-token" not in "".join(deliveries.values())
    assert PAGERDUTY_KEY not in "".join(deliveries.values())


def test_airflow_connections_serve_as_well(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection id instead of an address: Airflow's secrets backends then keep the secret."""
    from market_pulse.channels import send

    settings = receivers.settings()
    for name, connection in {
        "PULSE_SLACK": {"conn_type": "slackwebhook", "password": receivers.address + SLACK_PATH},
        "PULSE_PD": {"conn_type": "pagerduty_events", "password": PAGERDUTY_KEY},
        "PULSE_HOOK": {"conn_type": "http", "host": receivers.address + WEBHOOK_PATH},
        "PULSE_MAIL": {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": int(settings["PULSE_ALERT_SMTP_PORT"]),
            "extra": {"disable_ssl": True, "disable_tls": True},
        },
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
    config = load(
        AlertConfig,
        {
            "PULSE_HOME": str(tmp_path),
            "PULSE_ALERT_SLACK_CONN_ID": "pulse_slack",
            "PULSE_ALERT_PAGERDUTY_CONN_ID": "pulse_pd",
            "PULSE_ALERT_PAGERDUTY_URL": receivers.address,
            "PULSE_ALERT_WEBHOOK_CONN_ID": "pulse_hook",
            "PULSE_ALERT_SMTP_CONN_ID": "pulse_mail",
            "PULSE_ALERT_SMTP_TO": "oncall@example.org",
        },
    )

    (opening, _) = dispatches(config, "load_failed")

    assert send(opening, config) == [Delivery(channel) for channel in opening.channels]
    assert {channel: len(each) for channel, each in receivers.received.items()} == {
        "slack": 1,
        "pagerduty": 1,
        "webhook": 1,
        "smtp": 1,
    }
