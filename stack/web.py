"""JSON over HTTP to the parts on this machine; never through a proxy."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import msgspec

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unreachable(Exception):
    """No answer, or not a JSON one.

    The text says why in a few words; `status` is the HTTP status when there was one.
    """

    def __init__(self, reason: str, status: int | None = None, body: Any = None) -> None:
        super().__init__(reason)
        self.status = status
        self.body = body


def get_json(url: str, *, timeout: float = 2, headers: Mapping[str, str] | None = None) -> Any:
    """The decoded body of a 2xx answer. Raises Unreachable otherwise."""
    return _request(urllib.request.Request(url, headers=dict(headers or {})), timeout)  # noqa: S310 - our own addresses


def post_json(url: str, body: object, *, timeout: float = 5, headers: Mapping[str, str] | None = None) -> Any:
    """As `get_json`, sending a JSON body."""
    all_headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=msgspec.json.encode(body), headers=all_headers)  # noqa: S310
    return _request(request, timeout)


def _request(request: urllib.request.Request, timeout: float) -> Any:
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            return _decode(response.read())
    except urllib.error.HTTPError as error:
        with error:
            raise Unreachable(f"HTTP {error.code}", error.code, _decode_or_none(error.read())) from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unreachable(str(reason)) from error


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError as error:
        raise Unreachable(f"not JSON: {body[:60]!r}") from error


def _decode_or_none(body: bytes) -> Any:
    try:
        return _decode(body)
    except Unreachable:
        return None
