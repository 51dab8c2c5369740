"""Whether the warehouse answers, asked when something failed without saying why."""

import http.client
import os
import socket
import urllib.error
import urllib.request

from include.config import WarehouseConfig, load

_SECONDS = 4
_BIGQUERY = ("bigquery.googleapis.com", 443)


def warehouse_problem() -> str:
    """Why the warehouse cannot be reached; empty when something answers, whatever it says."""
    config = load(WarehouseConfig)
    if not config.warehouse_url:
        return _bigquery_problem()
    url = f"{config.warehouse_url.rstrip('/')}/bigquery/v2/projects/{config.project}/datasets?maxResults=1"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_SECONDS):
            return ""
    except urllib.error.HTTPError:
        return ""
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return f"The warehouse ({config.warehouse_url}) does not answer: {reason or type(error).__name__}."


def _bigquery_problem() -> str:
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return ""  # only the proxy could say
    try:
        with socket.create_connection(_BIGQUERY, timeout=_SECONDS):
            return ""
    except OSError as error:
        return f"BigQuery ({_BIGQUERY[0]}) cannot be reached: {error}."
