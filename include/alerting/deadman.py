"""The dead man's switch: an address that is asked for as long as all is well."""

import http.client
import urllib.error
import urllib.request
from typing import Final

_ATTEMPTS: Final = 2


def ping(url: str, *, timeout_seconds: float) -> str:
    """Ask for the address; why that failed, without the address, or empty."""
    error = ""
    for _ in range(_ATTEMPTS):
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "market-pulse"})  # noqa: S310 - http(s) by its setting
            with urllib.request.urlopen(request, timeout=timeout_seconds):  # noqa: S310
                return ""
        except urllib.error.HTTPError as failure:
            error = f"HTTP {failure.code}"
        except (OSError, http.client.HTTPException, ValueError) as failure:
            error = f"{type(failure).__name__}: {getattr(failure, 'reason', failure)}"
    return error
