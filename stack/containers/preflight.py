"""`python -m stack.containers.preflight`: the first container. Refuses what cannot work, then makes the secrets.

Every other container waits for its success, so a mistake shows as one message and not as seven.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from include.config import ALL_CONFIGS, ConfigError, StreamerConfig, WarehouseConfig, load
from stack.containers import layout
from stack.containers.secrets import create_secrets

EXIT_CONFIG = 2
#: What the user's PULSE_SOURCE was, before docker-compose.yaml set it.
_WANTED_SOURCE = "WANTED_SOURCE"


def main() -> int:
    """0: go on; 2: a setting is wrong."""
    try:
        check(os.environ, layout.GOOGLE_KEY)
    except ConfigError as error:
        sys.stderr.write(f"preflight: {error}\n")
        return EXIT_CONFIG
    for path in create_secrets():
        sys.stdout.write(f"preflight: made {path}\n")
    return 0


def check(environ: Mapping[str, str], google_key: Path) -> None:
    """Raises ConfigError for a setting that does not fit, or settings that contradict one another."""
    for config in ALL_CONFIGS:
        load(config, environ)
    _check_source(environ)
    warehouse = load(WarehouseConfig, environ)
    key = _key(google_key)
    if warehouse.warehouse_url and key:
        raise ConfigError(
            "GOOGLE_APPLICATION_CREDENTIALS is set, but PULSE_WAREHOUSE_URL is not empty, so nothing would go to "
            "BigQuery. For BigQuery: export PULSE_WAREHOUSE_URL= ; else: unset GOOGLE_APPLICATION_CREDENTIALS"
        )
    if not warehouse.warehouse_url and not environ.get("PULSE_PROJECT", "").strip():
        raise ConfigError(
            "PULSE_WAREHOUSE_URL is empty, which means BigQuery, and PULSE_PROJECT is not set. For BigQuery: "
            "export PULSE_PROJECT=<project id> ; for the local warehouse: unset PULSE_WAREHOUSE_URL"
        )


def _check_source(environ: Mapping[str, str]) -> None:
    source = load(StreamerConfig, environ).resolved_source()
    wanted = environ.get(_WANTED_SOURCE, "").strip()
    if wanted and wanted != source:
        raise ConfigError(
            f"PULSE_SOURCE={wanted}: here the profile decides the source, and it is {source}. For the fake exchange: "
            "export COMPOSE_PROFILES=simulated ; for live data: unset COMPOSE_PROFILES ; then unset PULSE_SOURCE"
        )


def _key(path: Path) -> bytes:
    """The service account's key, or nothing when none was given. Raises ConfigError for what is no key."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except PermissionError:
        raise ConfigError(
            f"GOOGLE_APPLICATION_CREDENTIALS: user id {os.getuid()} must be able to read the file: "
            f"sudo chown {os.getuid()} <file>, or setfacl -m u:{os.getuid()}:r <file>"
        ) from None
    if content:
        try:
            kind = msgspec.json.decode(content, type=dict[str, object]).get("type")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"GOOGLE_APPLICATION_CREDENTIALS: not a Google credentials file: {error}") from None
        if not kind:
            raise ConfigError('GOOGLE_APPLICATION_CREDENTIALS: not a Google credentials file: it has no "type"')
    return content


if __name__ == "__main__":
    sys.exit(main())
