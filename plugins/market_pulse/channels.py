"""Sending from Airflow, through the providers' own hooks and libraries. One channel that fails keeps no other.

An address or key comes from PULSE_ settings, or from the Airflow connection that a setting names.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from include.alerting import Delivery, Dispatch, Message, Secrets, payloads
from include.config import AlertConfig, ChannelName, MailSecurity

log = logging.getLogger(__name__)

_ATTEMPTS = 2

#: Sends one message, or raises whatever its library does.
Sender = Callable[[Message], None]


def send(dispatch: Dispatch, config: AlertConfig) -> list[Delivery]:
    """Send to all channels at once; how each went, in the order of the dispatch. Never raises for a channel."""
    if not dispatch.channels:
        return []
    secrets = Secrets(config)
    _mask(secrets)
    with ThreadPoolExecutor(len(dispatch.channels)) as pool:
        return list(pool.map(lambda channel: _deliver(channel, dispatch.message, config, secrets), dispatch.channels))


def _deliver(channel: ChannelName, message: Message, config: AlertConfig, secrets: Secrets) -> Delivery:
    error = ""
    for _ in range(_ATTEMPTS):
        try:
            _SENDERS[channel](config, secrets)(message)
        except Exception as failure:  # whatever a channel's library raises: no channel may break a task or another one
            error = secrets.redact(f"{type(failure).__name__}: {failure}")
        else:
            return Delivery(channel)
    log.warning("channel %s did not take the message: %s", channel, error)
    return Delivery(channel, error)


def _mask(secrets: Secrets) -> None:
    """Hide the secrets in the logs of tasks, should a library print them."""
    from airflow.sdk.log import mask_secret

    for value in secrets.values():
        mask_secret(value)


def _slack(config: AlertConfig, secrets: Secrets) -> Sender:
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    url = secrets.read("alert_slack_url")
    hook_class = _with_connection(SlackWebhookHook, conn_type="slackwebhook", password=url) if url else SlackWebhookHook
    hook = hook_class(
        slack_webhook_conn_id=config.alert_slack_conn_id or "pulse_slack", timeout=config.alert_timeout_seconds
    )
    return lambda message: hook.send_dict(payloads.slack(message))


def _pagerduty(config: AlertConfig, secrets: Secrets) -> Sender:
    from airflow.providers.pagerduty.hooks.pagerduty_events import PagerdutyEventsHook
    from pagerduty import EventsApiV2Client

    class Client(EventsApiV2Client):  # type: ignore[misc]
        #: The library refuses http://, and so every receiver on this machine.
        url = ""
        max_network_attempts = 1
        timeout = config.alert_timeout_seconds

    hook = PagerdutyEventsHook(
        integration_key=secrets.read("alert_pagerduty_key") or None,
        pagerduty_events_conn_id=config.alert_pagerduty_conn_id or None,
    )
    client = Client(hook.integration_key, base_url=config.alert_pagerduty_url.rstrip("/"))
    client.retry = {429: 1}  # its default is to wait for ever

    def send_event(message: Message) -> None:
        event = payloads.pagerduty(message)
        client.send_event(event.pop("event_action"), event.pop("dedup_key"), **event)

    return send_event


def _smtp(config: AlertConfig, secrets: Secrets) -> Sender:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    hook_class = SmtpHook
    if config.alert_smtp_host:
        security = config.alert_smtp_security
        hook_class = _with_connection(
            SmtpHook,
            conn_type="smtp",
            host=config.alert_smtp_host,
            port=config.alert_smtp_port,
            login=config.alert_smtp_user or None,
            password=secrets.read("alert_smtp_password") or None,
            extra={
                "disable_ssl": security is not MailSecurity.TLS,
                "disable_tls": security is not MailSecurity.STARTTLS,
                "timeout": config.alert_timeout_seconds,
                "retry_limit": 0,
            },
        )

    def send_mail(message: Message) -> None:
        with hook_class(smtp_conn_id=config.alert_smtp_conn_id or "pulse_smtp") as hook:
            hook.send_email_smtp(
                to=list(config.alert_smtp_to),
                from_email=config.alert_smtp_from,
                subject=payloads.subject(message),
                html_content=payloads.html(message),
                custom_headers=payloads.thread_headers(message),
            )

    return send_mail


def _webhook(config: AlertConfig, secrets: Secrets) -> Sender:
    from airflow.providers.http.hooks.http import HttpHook

    url, token = secrets.read("alert_webhook_url"), secrets.read("alert_webhook_token")
    hook_class = _with_connection(HttpHook, conn_type="http", host=url) if url else HttpHook
    hook = hook_class(method="POST", http_conn_id=config.alert_webhook_conn_id or "pulse_webhook")
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def post(message: Message) -> None:
        hook.run(
            json=payloads.webhook(message),
            headers=headers,
            extra_options={"timeout": config.alert_timeout_seconds},
        )

    return post


def _with_connection(hook_class: Any, **fields: Any) -> Any:
    """A hook whose connection is made of our settings and not looked up."""
    from airflow.sdk import Connection

    extra = fields.pop("extra", None)
    if extra is not None:
        import json

        fields["extra"] = json.dumps(extra)

    class Hook(hook_class):  # type: ignore[misc]
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            return Connection(conn_id=conn_id, **fields)

    return Hook


_SENDERS: dict[ChannelName, Callable[[AlertConfig, Secrets], Sender]] = {
    ChannelName.SLACK: _slack,
    ChannelName.PAGERDUTY: _pagerduty,
    ChannelName.SMTP: _smtp,
    ChannelName.WEBHOOK: _webhook,
}
