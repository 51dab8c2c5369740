"""Environment → frozen config objects. The rules live in the types of `settings`; this module only applies them."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from include.config.settings import ALL_CONFIGS

PREFIX = "PULSE_"

#: Read by the test suite only; known here so that they are not refused.
OUTSIDE_VARIABLES = {
    "PULSE_RECORDINGS": "Folder of recorded traffic that tests also run against.",
    "PULSE_COMPOSE_STANDIN": "Program that runs `scripts/test compose` on a private docker engine.",
}


class ConfigError(ValueError):
    """A setting that is unknown or does not fit. The text names the variable, the value and what is allowed."""


def variable_name(field: str) -> str:
    """The environment variable of a config field."""
    return PREFIX + field.upper()


def variables(config_class: type[msgspec.Struct]) -> dict[str, str]:
    """Variable name → description, of one config class."""
    hints = get_type_hints(config_class, include_extras=True)
    return {variable_name(name): _meta(hints[name]).description or "" for name in config_class.__struct_fields__}


def is_secret(name: str) -> bool:
    """Whether the value of a variable must never be shown."""
    field = name.removeprefix(PREFIX).lower()
    return any(
        _is_secret(get_type_hints(config_class, include_extras=True)[field])
        for config_class in ALL_CONFIGS
        if field in config_class.__struct_fields__
    )


def load[T: msgspec.Struct](config_class: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Parse one component's settings.

    An empty variable counts as unset. Raises ConfigError for a value that does not fit and for any `PULSE_` variable
    that no component knows (so a misspelt name is an error, not a silent default).
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    hints = get_type_hints(config_class, include_extras=True)
    values: dict[str, Any] = {}
    for field in config_class.__struct_fields__:
        text = environ.get(variable_name(field), "").strip()
        if text:
            values[field] = _parse(variable_name(field), text, hints[field])
    try:
        return config_class(**values)
    except ValueError as error:  # raised by a __post_init__ that looks at several fields
        raise ConfigError(str(error)) from None


def _parse(name: str, text: str, hint: Any) -> Any:
    raw: Any = text
    if _is_list(hint):
        raw = [item.strip() for item in text.split(",") if item.strip()]
    try:
        return msgspec.convert(raw, hint, strict=False, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        if _is_secret(hint):
            raise ConfigError(
                f"{name}: the value (not shown) does not fit: {error}. {_meta(hint).description}"
            ) from None
        raise ConfigError(f"{name}={text!r}: {error}. {name}: {_meta(hint).description}") from None


def _decode_path(target: type, value: object) -> object:
    if target is Path:
        return Path(str(value)).expanduser()
    raise NotImplementedError(target)


def _is_list(hint: Any) -> bool:
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(inner) is tuple


def _is_secret(hint: Any) -> bool:
    return bool((_meta(hint).extra or {}).get("secret"))


def _meta(hint: Any) -> msgspec.Meta:
    if get_origin(hint) is Annotated:
        merged = [extra for extra in get_args(hint)[1:] if isinstance(extra, msgspec.Meta)]
        for extra in reversed(merged):
            if extra.description:
                return extra
    return msgspec.Meta(description="")


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = set(OUTSIDE_VARIABLES).union(*(variables(config) for config in ALL_CONFIGS))
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{name} is not a setting of this product.{hint} docs/configuration.md lists them all.")
