"""Settings of alerts: limits, channels, and the streamer's own pager."""

import enum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from include.config.fields import Name, Port, Sourced


class ChannelName(enum.StrEnum):
    """How people are reached."""

    SLACK = "slack"
    PAGERDUTY = "pagerduty"
    SMTP = "smtp"
    WEBHOOK = "webhook"


class MailSecurity(enum.StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


#: Marks a setting whose value is never printed, logged or put into an error.
SECRET = {"secret": True}

_HTTP = r"^(https?://.+)?$"
ConnectionId = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]*$")]
Channels = tuple[ChannelName, ...]


class AlertConfig(Sourced, frozen=True, kw_only=True):
    """Alerts: who is told what, and from when on something is wrong (docs/alerting.md)."""

    alerts_dir: Annotated[
        Path | None,
        Meta(
            description="Folder in which all processes keep the open incidents. Unset: PULSE_HOME/alerts. Streamer and"
            " Airflow have to share it."
        ),
    ] = None
    alert_installation: Annotated[
        Name, Meta(description="What messages call this installation; part of every deduplication key.")
    ] = "market-pulse"
    alert_critical_channels: Annotated[
        Channels, Meta(description="Comma-separated: critical alerts go to those of these that have an address.")
    ] = (ChannelName.PAGERDUTY, ChannelName.SLACK, ChannelName.SMTP, ChannelName.WEBHOOK)
    alert_warning_channels: Annotated[
        Channels, Meta(description="The same for warnings, which can wait for the morning.")
    ] = (ChannelName.SLACK, ChannelName.SMTP, ChannelName.WEBHOOK)
    alert_update_minutes: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Meta(
            description="Comma-separated, ascending: an incident that goes on is told of again this long after its"
            " beginning, in minutes; afterwards once a day."
        ),
    ] = (30, 240)
    alert_flap_minutes: Annotated[
        int,
        Meta(
            ge=0,
            description="What comes back within this time, in minutes, is the same incident, and is over only when it"
            " stayed away for as long; twice as long each time.",
        ),
    ] = 15
    alert_timeout_seconds: Annotated[
        int, Meta(ge=1, le=60, description="A channel has this long to take a message, in seconds.")
    ] = 5
    alert_runbook_url: Annotated[
        str,
        Meta(
            pattern=_HTTP,
            description="Address of the folder docs/runbooks as people on call can open it. Unset: messages name the"
            " file.",
        ),
    ] = ""
    alert_slack_url: Annotated[
        str, Meta(pattern=_HTTP, extra=SECRET, description="Slack: address of an incoming webhook.")
    ] = ""
    alert_slack_url_file: Annotated[Path | None, Meta(description="File that holds PULSE_ALERT_SLACK_URL.")] = None
    alert_slack_conn_id: Annotated[
        ConnectionId, Meta(description="Slack: an Airflow connection (slackwebhook) instead. Not for the streamer.")
    ] = ""
    alert_pagerduty_key: Annotated[
        str,
        Meta(
            pattern=r"^([0-9A-Za-z]{32})?$",
            extra=SECRET,
            description="PagerDuty: integration key (Events API v2) of a service.",
        ),
    ] = ""
    alert_pagerduty_key_file: Annotated[Path | None, Meta(description="File that holds PULSE_ALERT_PAGERDUTY_KEY.")] = (
        None
    )
    alert_pagerduty_conn_id: Annotated[
        ConnectionId,
        Meta(description="PagerDuty: an Airflow connection (pagerduty_events) instead. Not for the streamer."),
    ] = ""
    alert_pagerduty_url: Annotated[
        str, Meta(pattern=r"^https?://.+", description="PagerDuty: address of the Events API.")
    ] = "https://events.pagerduty.com"
    alert_smtp_host: Annotated[str, Meta(description="Mail: the server. Unset: no mail.")] = ""
    alert_smtp_port: Annotated[Port, Meta(description="Mail: the server's port.")] = 587
    alert_smtp_security: Annotated[MailSecurity, Meta(description="Mail: none, starttls or tls.")] = (
        MailSecurity.STARTTLS
    )
    alert_smtp_user: Annotated[str, Meta(description="Mail: user name. Unset: no login.")] = ""
    alert_smtp_password: Annotated[str, Meta(extra=SECRET, description="Mail: the user's password.")] = ""
    alert_smtp_password_file: Annotated[Path | None, Meta(description="File that holds PULSE_ALERT_SMTP_PASSWORD.")] = (
        None
    )
    alert_smtp_from: Annotated[str, Meta(description="Mail: sender.")] = "market-pulse@localhost"
    alert_smtp_to: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$")], ...],
        Meta(description="Mail: comma-separated recipients. Unset: no mail."),
    ] = ()
    alert_smtp_conn_id: Annotated[
        ConnectionId,
        Meta(description="Mail: an Airflow connection (smtp) for server and login instead. Not for the streamer."),
    ] = ""
    alert_webhook_url: Annotated[
        str,
        Meta(pattern=_HTTP, extra=SECRET, description="Webhook: address that takes our own JSON by POST."),
    ] = ""
    alert_webhook_url_file: Annotated[Path | None, Meta(description="File that holds PULSE_ALERT_WEBHOOK_URL.")] = None
    alert_webhook_token: Annotated[str, Meta(extra=SECRET, description="Webhook: sent as a bearer token.")] = ""
    alert_webhook_token_file: Annotated[Path | None, Meta(description="File that holds PULSE_ALERT_WEBHOOK_TOKEN.")] = (
        None
    )
    alert_webhook_conn_id: Annotated[
        ConnectionId, Meta(description="Webhook: an Airflow connection (http) instead. Not for the streamer.")
    ] = ""
    deadman_url: Annotated[
        str,
        Meta(
            pattern=_HTTP,
            extra=SECRET,
            description="Dead man's switch: asked for (GET) when a run is fully verified, and only then. Its service"
            " alerts when that stays away.",
        ),
    ] = ""
    deadman_url_file: Annotated[Path | None, Meta(description="File that holds PULSE_DEADMAN_URL.")] = None
    run_start_limit_seconds: Annotated[
        int, Meta(ge=1, description="A run of market_pulse that waits for longer, in seconds, is an alert.")
    ] = 300
    run_limit_seconds: Annotated[
        int, Meta(ge=1, description="A run of market_pulse that is not over after this time, in seconds, is an alert.")
    ] = 900
    freshness_limit_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="The newest trade of a product in the marts may be this old, in seconds, unless heartbeats"
            " show that there was none since.",
        ),
    ] = 600

    def resolved_alerts_dir(self) -> Path:
        """Folder of the open incidents."""
        return self.alerts_dir or self.home / "alerts"


class PagerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts: from when on the streamer pages by itself."""

    pager_interval_seconds: Annotated[
        int, Meta(ge=1, description="The streamer looks for what is wrong this often, in seconds.")
    ] = 5
    pager_unsealed_seconds: Annotated[
        int,
        Meta(ge=1, description="A segment that nobody takes over for this long, in seconds: Airflow does not work."),
    ] = 900
    pager_unloaded_seconds: Annotated[
        int,
        Meta(ge=1, description="A sealed segment that nobody loads for this long, in seconds."),
    ] = 1800
    pager_silent_seconds: Annotated[
        int, Meta(ge=1, description="No data from the exchange on some connection for this long, in seconds.")
    ] = 120
    pager_disk_seconds: Annotated[
        int, Meta(ge=1, description="The disk does not take what was received for this long, in seconds.")
    ] = 15
