"""Sending without Airflow: HTTP by aiohttp, mail by the standard library. The streamer and `make page-test` use it.

Airflow sends the same payloads through its providers (`market_pulse.channels`).
"""

import asyncio
import smtplib
import ssl
from typing import Any, Final

import aiohttp

from include.alerting import payloads
from include.alerting.desk import Delivery, Dispatch
from include.alerting.message import Message
from include.alerting.secrets import AlertConfigError, Secrets
from include.config import AlertConfig, ChannelName, MailSecurity

_ATTEMPTS: Final = 2
_BODY_MAX: Final = 200
PAGERDUTY_PATH: Final = "/v2/enqueue"


class NotTaken(Exception):
    """A channel answered, and refused the message."""


async def send(dispatch: Dispatch, config: AlertConfig) -> list[Delivery]:
    """Send to all channels at once; how each went, in the order of the dispatch. Never raises for a channel."""
    timeout = aiohttp.ClientTimeout(total=config.alert_timeout_seconds)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        sender = _Sender(config, session)
        return list(await asyncio.gather(*(sender.deliver(channel, dispatch.message) for channel in dispatch.channels)))


class _Sender:
    def __init__(self, config: AlertConfig, session: aiohttp.ClientSession) -> None:
        self._config = config
        self._secrets = Secrets(config)
        self._session = session

    async def deliver(self, channel: ChannelName, message: Message) -> Delivery:
        error = ""
        for _ in range(_ATTEMPTS):
            try:
                await self._send(channel, message)
            except (NotTaken, AlertConfigError) as failure:
                return Delivery(channel, self._secrets.redact(str(failure)))
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
                # smtplib's exceptions are OSErrors; ValueError: an address nobody can connect to.
                error = self._secrets.redact(f"{type(failure).__name__}: {failure}")
            else:
                return Delivery(channel)
        return Delivery(channel, error)

    async def _send(self, channel: ChannelName, message: Message) -> None:
        config = self._config
        match channel:
            case ChannelName.SLACK:
                await self._post(self._secrets.read("alert_slack_url"), payloads.slack(message))
            case ChannelName.PAGERDUTY:
                event = {"routing_key": self._secrets.read("alert_pagerduty_key"), **payloads.pagerduty(message)}
                await self._post(config.alert_pagerduty_url.rstrip("/") + PAGERDUTY_PATH, event)
            case ChannelName.WEBHOOK:
                token = self._secrets.read("alert_webhook_token")
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                await self._post(self._secrets.read("alert_webhook_url"), payloads.webhook(message), headers)
            case ChannelName.SMTP:
                password = self._secrets.read("alert_smtp_password")
                await asyncio.to_thread(send_mail, config, password, message)

    async def _post(self, url: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        async with self._session.post(url, json=body, headers=headers) as reply:
            if reply.status >= 500 or reply.status == 429:
                raise aiohttp.ClientResponseError(
                    reply.request_info, reply.history, status=reply.status, message=reply.reason or ""
                )
            if reply.status >= 300:
                text = (await reply.text(errors="replace"))[:_BODY_MAX]
                raise NotTaken(f"HTTP {reply.status}: {text}")


def send_mail(config: AlertConfig, password: str, message: Message) -> None:
    """One mail. Raises OSError, as all exceptions of smtplib are."""
    letter = payloads.mail(message, config.alert_smtp_from, config.alert_smtp_to)
    timeout = config.alert_timeout_seconds
    host, port = config.alert_smtp_host, config.alert_smtp_port
    client: smtplib.SMTP
    if config.alert_smtp_security is MailSecurity.TLS:
        client = smtplib.SMTP_SSL(host, port, timeout=timeout, context=ssl.create_default_context())
    else:
        client = smtplib.SMTP(host, port, timeout=timeout)
    with client:
        if config.alert_smtp_security is MailSecurity.STARTTLS:
            client.starttls(context=ssl.create_default_context())
        if config.alert_smtp_user:
            client.login(config.alert_smtp_user, password)
        client.send_message(letter)
