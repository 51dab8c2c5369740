"""`--check` and `--print-config`: what can be known before anything is captured."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from include.coinbase.rest import RestClient, RestError
from include.config import ConfigError, StreamerConfig, load, variable_name
from include.spool import Spool, SpoolError
from streamer.products import resolve
from streamer.transports import transport_named
from streamer.transports.protocol import USER_AGENT

_DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


def load_config() -> StreamerConfig:
    """The settings from the environment. Raises ConfigError, also for an address without a host or a transport that is
    not installed."""
    config = load(StreamerConfig)
    _address("PULSE_FEED_URL", config.feed_url, "ws://host:port/path or wss://…")
    _address("PULSE_REST_URL", config.rest_url, "http://host:port/path or https://…")
    transport_named(config.transport)
    return config


def _address(name: str, url: str, form: str) -> tuple[str, int]:
    """Host and port of a setting's address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{name}={url!r}: {error}; use {form}") from None
    if not host:
        raise ConfigError(f"{name}={url!r}: no host; use {form}")
    return host, port or _DEFAULT_PORTS[parts.scheme]


def describe(config: StreamerConfig) -> str:
    """The settings in effect, derived ones included, as lines of an environment file."""
    values = {field: getattr(config, field) for field in config.__struct_fields__}
    values["source"] = config.resolved_source().value
    values["spool_dir"] = config.resolved_spool_dir()
    return "".join(
        f"{variable_name(field)}={','.join(value) if isinstance(value, tuple) else value}\n"
        for field, value in values.items()
    )


def check(config: StreamerConfig, report: Callable[[str], object]) -> bool:
    """Try what a start needs, telling `report` each finding; whether all is well."""
    report("ok      settings")
    checks = [_check_spool, _check_feed]
    if config.product_rules():
        checks.append(_check_products)
    return all([check(config, report) for check in checks])


def _check_spool(config: StreamerConfig, report: Callable[[str], object]) -> bool:
    path = config.resolved_spool_dir()
    try:
        spool = Spool.open(path, config.resolved_source().value, create=True)
        _write_probe(spool.root)
    except (SpoolError, OSError) as error:
        report(f"failed  spool (PULSE_SPOOL_DIR={path}): {error}")
        return False
    report(f"ok      spool {path} can be written")
    return True


def _write_probe(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"probe")
        file.flush()
        os.fsync(file.fileno())


def _check_feed(config: StreamerConfig, report: Callable[[str], object]) -> bool:
    host, port = _address("PULSE_FEED_URL", config.feed_url, "ws://host:port/path or wss://…")
    try:
        asyncio.run(_connect(host, port, config.connect_timeout_seconds))
    except OSError as error:  # TimeoutError and names that do not resolve are OSErrors
        report(f"failed  feed (PULSE_FEED_URL={config.feed_url}): {error or 'no answer in time'}")
        return False
    report(f"ok      feed {host}:{port} can be reached")
    return True


async def _connect(host: str, port: int, timeout_seconds: float) -> None:
    async with asyncio.timeout(timeout_seconds):
        _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


def _check_products(config: StreamerConfig, report: Callable[[str], object]) -> bool:
    rules = ",".join(config.product_rules())
    try:
        products = asyncio.run(_resolve(config))
    except RestError as error:
        report(f"failed  products (PULSE_REST_URL={config.rest_url}): {error}")
        return False
    if not products:
        report(f"failed  products: nothing that {config.rest_url} lists fits PULSE_PRODUCTS={rules}")
        return False
    report(f"ok      products {rules}: {len(products)} by {config.rest_url}")
    return True


async def _resolve(config: StreamerConfig) -> tuple[str, ...]:
    async with RestClient(
        config.rest_url, user_agent=USER_AGENT, attempts=2, timeout_seconds=config.connect_timeout_seconds
    ) as client:
        return resolve(config, await client.products())
