"""A message in the form each channel wants. Limits are those of the services, named beside them."""

import hashlib
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from html import escape
from typing import Any, Final

from include.alerting.incidents import Kind
from include.alerting.message import Message

#: https://docs.slack.dev/reference/block-kit/blocks/header-block and …/section-block
_SLACK_HEADER_MAX: Final = 150
_SLACK_SECTION_MAX: Final = 3000
#: https://developer.pagerduty.com/docs/send-alert-event
_PAGERDUTY_SUMMARY_MAX: Final = 1024
_PAGERDUTY_KEY_MAX: Final = 255
_SUBJECT_MAX: Final = 200

#: Of our own webhook body.
WEBHOOK_VERSION: Final = 1


def slack(message: Message) -> dict[str, Any]:
    """The body of an incoming webhook: Block Kit, with the title as the text of notifications."""
    icon = _icon(message)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(f"{icon} {message.title}", _SLACK_HEADER_MAX)}}
    ]
    blocks += [_slack_section(f"*{label}*\n{_slack_text(text)}") for label, text in message.lines if text]
    if message.kind is not Kind.RECOVERED:
        blocks.append(_slack_section(f"*Try first*\n```{_slack_text(message.command)}```"))
    places = [_slack_link(message.runbook, "Runbook")]
    if message.log_url:
        places.append(_slack_link(message.log_url, "Log"))
    footer = " · ".join([*places, _slack_text(f"{message.installation} · {message.severity} · {message.sent_at}")])
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(footer, _SLACK_SECTION_MAX)}]})
    return {"text": _slack_text(f"{icon} {message.title}"), "blocks": blocks}


def pagerduty(message: Message) -> dict[str, Any]:
    """An event of the Events API v2, without its routing key: trigger, or resolve for what is over.

    A test is a trigger with a key of its own; `make page-test` resolves it.
    """
    action = "resolve" if message.kind is Kind.RECOVERED else "trigger"
    event: dict[str, Any] = {"event_action": action, "dedup_key": _cut(message.dedup_key, _PAGERDUTY_KEY_MAX)}
    if action == "resolve":
        return event
    return event | {
        "payload": {
            "summary": _cut(message.title, _PAGERDUTY_SUMMARY_MAX),
            "source": message.installation,
            "severity": message.severity.value,
            "component": message.scope,
            "group": message.installation,
            "class": message.alert_id,
            "custom_details": {
                **dict(message.lines),
                "Try first": message.command,
                "Runbook": message.runbook,
            },
        },
        "links": [
            {"href": address, "text": text}
            for address, text in ((message.log_url, "Log"), (message.runbook, "Runbook"))
            if "://" in address
        ],
        "client": "Market Pulse",
    }


def webhook(message: Message) -> dict[str, Any]:
    """Our own body, for whatever takes JSON."""
    return {
        "version": WEBHOOK_VERSION,
        "kind": message.kind.value,
        "severity": message.severity.value,
        "alert": message.alert_id,
        "incident": message.dedup_key,
        "installation": message.installation,
        "scope": message.scope,
        "title": message.title,
        "details": dict(message.lines),
        "command": message.command,
        "runbook": message.runbook,
        "log": message.log_url,
        "sent_at": message.sent_at,
    }


def subject(message: Message) -> str:
    """The subject of a mail."""
    return _cut(" ".join(f"[{message.installation}] {message.severity}: {message.title}".split()), _SUBJECT_MAX)


def thread_headers(message: Message) -> dict[str, str]:
    """Mails on one incident are one conversation."""
    thread = hashlib.sha256(message.dedup_key.encode()).hexdigest()[:24]
    return {"References": f"<{thread}@market-pulse>", "Auto-Submitted": "auto-generated"}


def html(message: Message) -> str:
    """The body of a mail."""
    return f"<pre style='font-family:monospace;white-space:pre-wrap'>{escape(message.text())}</pre>"


def mail(message: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """A whole mail, plain and HTML."""
    result = EmailMessage()
    result["Subject"] = subject(message)
    result["From"] = sender
    result["To"] = ", ".join(recipients)
    result["Date"] = formatdate()
    result["Message-ID"] = make_msgid(domain="market-pulse")
    for name, value in thread_headers(message).items():
        result[name] = value
    result.set_content(message.text())
    result.add_alternative(html(message), subtype="html")
    return result


def _icon(message: Message) -> str:
    if message.kind is Kind.RECOVERED:
        return "✅"
    return {"critical": "🔴", "warning": "🟡"}[message.severity.value]


def _slack_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SLACK_SECTION_MAX)}}


def _slack_text(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text: three characters are control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack_link(address: str, text: str) -> str:
    return f"<{_slack_text(address)}|{text}>" if "://" in address else f"{text}: `{_slack_text(address)}`"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
