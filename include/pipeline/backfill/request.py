"""What a person asks for, and whether it makes sense: checked before anything is fetched or changed."""

import enum
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Self

import msgspec

from include.config import BackfillConfig, ConfigError, WarehouseConfig

CONCURRENCY_MAX = 8
_PRODUCT = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
_NAMED = 10


class Mode(enum.StrEnum):
    """What is to be done again."""

    REFETCH = "refetch"
    REPLAY = "replay"
    REBUILD = "rebuild"


class RequestRefused(ValueError):
    """The request makes no sense as it is. The text says what to change; nothing was done."""


class BackfillRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request. The window is UTC, `end` is exclusive."""

    mode: Mode
    start: datetime
    end: datetime
    products: tuple[str, ...] = ()
    dry_run: bool = False
    concurrency: int = 3
    only_missing: bool = True
    dataset_prefix: str = ""
    """Of a replay: datasets to load into; empty are the original ones."""

    @classmethod
    def of(cls, params: Mapping[str, Any], config: BackfillConfig, now: datetime) -> Self:
        """From the parameters of a run, whose types the DAG's schema has checked. Raises RequestRefused."""
        mode = Mode(params["mode"])
        start, end = _instant("window_start", params["window_start"]), _instant("window_end", params["window_end"])
        _check_window(mode, start, end, config, now)
        products = tuple(dict.fromkeys(params.get("products") or ()))
        if mode is Mode.REFETCH:
            _check_products(products)
        prefix = params.get("dataset_prefix") or ""
        _check_prefix(mode, prefix)
        return cls(
            mode=mode,
            start=start,
            end=end,
            products=products if mode is Mode.REFETCH else (),
            dry_run=bool(params.get("dry_run", False)),
            concurrency=int(params.get("concurrency", 3)),
            only_missing=bool(params.get("only_missing", True)),
            dataset_prefix=prefix,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for an XCom."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """From `to_dict`. Raises msgspec.ValidationError."""
        return msgspec.convert(dict(fields), cls)


def check_known(products: Iterable[str], listed: Iterable[str]) -> None:
    """Raises RequestRefused for products that the exchange never had; delisted ones stay listed."""
    there = sorted(listed)
    unknown = [product for product in products if product not in there]
    if not unknown:
        return
    hints = []
    for product in unknown[:_NAMED]:
        close = get_close_matches(product, there, n=1)
        hints.append(f"{product} (did you mean {close[0]}?)" if close else product)
    raise RequestRefused(
        f"products: the exchange has no {', '.join(hints)}{' …' if len(unknown) > _NAMED else ''}. "
        f"Change or leave out {'it' if len(unknown) == 1 else 'them'}; it lists {len(there)} products"
    )


def days_of(request: BackfillRequest) -> list[datetime]:
    """The UTC days that the window touches, by their first instant."""
    day = request.start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = []
    while day < request.end:
        days.append(day)
        day += timedelta(days=1)
    return days


def _instant(name: str, text: object) -> datetime:
    """RFC 3339; without an offset it is UTC."""
    try:
        instant = datetime.fromisoformat(str(text).strip())
    except ValueError:
        raise RequestRefused(f"{name}={text!r} is no instant. Write it as 2026-07-07T22:00:00Z (UTC)") from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def _check_window(mode: Mode, start: datetime, end: datetime, config: BackfillConfig, now: datetime) -> None:
    if start >= end:
        raise RequestRefused(
            f"the window is empty: window_start {_text(start)} is not before window_end {_text(end)}. "
            f"{'Exchange the two' if start > end else 'The end is exclusive: set it later'}"
        )
    if start >= now:
        raise RequestRefused(f"window_start {_text(start)} is in the future (it is {_text(now)} UTC). Set it earlier")
    if end > now:
        raise RequestRefused(
            f"window_end {_text(end)} is in the future (it is {_text(now)} UTC). Set it to {_text(now)} or earlier"
        )
    days = (end - start) / timedelta(days=1)
    if days > config.backfill_days_max:
        raise RequestRefused(
            f"the window has {days:.1f} days, a {mode} takes at most {config.backfill_days_max}. Set window_end to "
            f"{_text(start + timedelta(days=config.backfill_days_max))} or earlier and run the rest afterwards, or "
            f"raise PULSE_BACKFILL_DAYS_MAX"
        )


def _check_products(products: tuple[str, ...]) -> None:
    if not products:
        raise RequestRefused("products is empty: a refetch needs at least one, for example BTC-USD")
    for product in products:
        if not _PRODUCT.fullmatch(product):
            raise RequestRefused(f"products: {product!r} is no product id. Write it as BTC-USD, in capitals")


def _check_prefix(mode: Mode, prefix: str) -> None:
    if not prefix:
        return
    if mode is not Mode.REPLAY:
        raise RequestRefused(f"dataset_prefix={prefix!r} belongs to a replay. Leave it empty, or set mode to replay")
    try:
        msgspec.convert({"dataset_prefix": prefix}, WarehouseConfig)
    except (msgspec.ValidationError, ConfigError) as error:
        raise RequestRefused(f"dataset_prefix={prefix!r}: {error}. Use small letters, digits and _") from None


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
