"""Addresses and keys of the channels: read late, kept out of every text."""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from include.config import AlertConfig, variable_name

_SECRET_FIELDS = (
    "alert_slack_url",
    "alert_pagerduty_key",
    "alert_smtp_password",
    "alert_webhook_url",
    "alert_webhook_token",
    "deadman_url",
)
_HIDDEN = "***"
#: A path as short as /alerts holds no token.
_TOKEN_MIN = 12


class AlertConfigError(Exception):
    """A channel is configured in a way that cannot work. The text names the variable and never its value."""


class Secrets:
    """The secret settings of one configuration, each from its variable or from the file that another one names."""

    def __init__(self, config: AlertConfig) -> None:
        self._config = config

    def read(self, field: str) -> str:
        """A secret by its field; empty where it is not set.

        Raises AlertConfigError when both ways are set, or the file cannot be read or is empty.
        """
        value: str = getattr(self._config, field)
        file: Path | None = getattr(self._config, f"{field}_file")
        if file is None:
            return value
        if value:
            raise AlertConfigError(f"{variable_name(field)} and {variable_name(field)}_FILE are both set: unset one")
        try:
            content = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AlertConfigError(f"{variable_name(field)}_FILE={file}: {error}") from error
        if not content:
            raise AlertConfigError(f"{variable_name(field)}_FILE={file} is empty")
        return content

    def values(self) -> list[str]:
        """All that can be read."""
        found = []
        for field in _SECRET_FIELDS:
            try:
                found.append(self.read(field))
            except AlertConfigError:
                continue
        return [value for value in found if value]

    def redact(self, text: str) -> str:
        """A text without the secrets, also where only the path of an address is named."""
        return redact(text, self.values())


def redact(text: str, secrets: Iterable[str]) -> str:
    """A text with *** for every secret, and for the path and query of one that is an address."""
    hidden: set[str] = set()
    for secret in secrets:
        hidden.add(secret)
        if "://" in secret:
            parts = urlsplit(secret)
            hidden.update(part for part in (parts.path, parts.query) if len(part) >= _TOKEN_MIN)
            hidden.update(part for part in (parts.password,) if part)
    for secret in sorted(hidden, key=len, reverse=True):
        text = re.sub(re.escape(secret), _HIDDEN, text)
    return text
