"""JSON answers, refusals and query parameters of the HTTP endpoints."""

import json

from aiohttp import web


def answer(text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON that is already text."""
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def bad_request(message: str) -> web.HTTPBadRequest:
    """400 with the exchange's form of an error."""
    return web.HTTPBadRequest(text=json.dumps({"message": message}), content_type="application/json")


def not_found() -> web.HTTPNotFound:
    """404 as the exchange words it."""
    return web.HTTPNotFound(text='{"message":"NotFound"}', content_type="application/json")


def integer(request: web.Request, name: str, default: int) -> int:
    """A query parameter without sign. Raises HTTPBadRequest."""
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise bad_request(f"Invalid {name}: {text!r} is not a whole number")
    return int(text)
