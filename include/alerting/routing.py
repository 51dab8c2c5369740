"""Which channels there are, and which of them a severity goes to."""

from include.alerting.catalogue import Severity
from include.config import AlertConfig, ChannelName


def configured_channels(config: AlertConfig, *, with_connections: bool) -> tuple[ChannelName, ...]:
    """The channels that have an address. Airflow connections count where there is an Airflow (`with_connections`).

    Reads no file: a channel whose file is missing is configured, and fails when it is used.
    """
    return tuple(channel for channel in ChannelName if _has_address(config, channel, with_connections))


def _has_address(config: AlertConfig, channel: ChannelName, with_connections: bool) -> bool:
    match channel:
        case ChannelName.SLACK:
            direct = bool(config.alert_slack_url or config.alert_slack_url_file)
            connection = config.alert_slack_conn_id
        case ChannelName.PAGERDUTY:
            direct = bool(config.alert_pagerduty_key or config.alert_pagerduty_key_file)
            connection = config.alert_pagerduty_conn_id
        case ChannelName.SMTP:
            direct = bool(config.alert_smtp_host and config.alert_smtp_to)
            connection = config.alert_smtp_conn_id if config.alert_smtp_to else ""
        case ChannelName.WEBHOOK:
            direct = bool(config.alert_webhook_url or config.alert_webhook_url_file)
            connection = config.alert_webhook_conn_id
    return direct or bool(connection and with_connections)


def route(config: AlertConfig, severity: Severity, *, with_connections: bool) -> tuple[ChannelName, ...]:
    """Where an alert of this severity goes."""
    wanted = config.alert_critical_channels if severity is Severity.CRITICAL else config.alert_warning_channels
    there_are = configured_channels(config, with_connections=with_connections)
    return tuple(channel for channel in dict.fromkeys(wanted) if channel in there_are)
