"""Replacing functions of local-bigquery, refused loudly when they are not the ones the fixes were written for."""

import functools
import importlib.metadata
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

VERSION = "0.3.2"


class UpstreamChanged(RuntimeError):
    """local-bigquery is not the version the fixes are for, or a function they replace has changed its parameters."""


def check_version() -> None:
    """Raise UpstreamChanged unless the fixes were written for the installed version."""
    installed = importlib.metadata.version("local-bigquery")
    if installed != VERSION:
        raise UpstreamChanged(
            f"local-bigquery is {installed}, the fixes are for {VERSION}: see in each module of emulator/fixes "
            "whether it is still needed, then change VERSION."
        )


def wrap(owner: ModuleType | type, name: str, parameters: tuple[str, ...], wrapper: Callable[..., Any]) -> None:
    """Replace `owner.name` by a function that calls `wrapper(inner, *arguments)`, `inner` being what was there before.

    Raises UpstreamChanged when the function is missing or takes other parameters than `parameters`.
    """
    inner: Callable[..., Any] | None = getattr(owner, name, None)
    if inner is None or tuple(inspect.signature(inner).parameters) != parameters:
        raise UpstreamChanged(f"{owner.__name__}.{name} is not what {wrapper.__module__} replaces: {inner}.")

    @functools.wraps(inner)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return wrapper(inner, *args, **kwargs)

    setattr(owner, name, replacement)
