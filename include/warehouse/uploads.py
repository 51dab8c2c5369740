"""Uploads a load job's data in chunks: Google's resumable protocol over the client's own authorised session.

The client library's upload sends chunks of 100 MB, each held in memory, and repeats a chunk without asking what has
arrived of it. Here a chunk is small, and after a failed one the server is asked and only the rest is sent. So memory is
bounded, and a stream that cannot go back (gzip) can be repeated too.
Protocol: https://cloud.google.com/bigquery/docs/reference/api-uploads#resumable
"""

import logging
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import requests
from google.api_core import exceptions
from google.cloud import bigquery

from include.config import Compression
from include.warehouse.outcomes import REQUEST_ERRORS, Reaction, UploadLost, of_request

#: A multiple of 256 KiB, as the protocol demands.
CHUNK_BYTES = 8 * 1024 * 1024
#: Waits before the server is asked what it has, in seconds. Past the last one the upload is given up, the job's id not.
RESUME_SECONDS = (0.2, 1.0, 3.0, 8.0)

_RANGE = re.compile(r"bytes=0-(\d+)")
_INCOMPLETE = 308
_FORGOTTEN = (404, 410)
_GZIP_WINDOW = 31
_GZIP_LEVEL = 1

log = logging.getLogger(__name__)


def compressed(pieces: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """The pieces as they are sent."""
    if compression is Compression.NONE:
        yield from pieces
        return
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def submit(
    client: bigquery.Client,
    resource: dict[str, Any],
    pieces: Iterable[bytes],
    *,
    timeout_seconds: float,
    on_progress: Callable[[int], None],
) -> bigquery.LoadJob:
    """Send the pieces as the data of a load job; the job as the server describes it after the last byte.

    `resource` is the job's description. `timeout_seconds` bounds each request. `on_progress` hears how many bytes the
    server has. Raises one of REQUEST_ERRORS (see `outcomes`), and what `pieces` raises: then no job was started.
    """
    upload = _Upload(client, resource, timeout_seconds)
    held = b""
    for chunk in _chunks(pieces, CHUNK_BYTES):
        if held:
            upload.send(held, is_last=False)
            on_progress(upload.received)
        held = chunk
    job = client.job_from_resource(upload.send(held, is_last=True))
    on_progress(upload.received)
    if not isinstance(job, bigquery.LoadJob):
        raise UploadLost(f"the server answered the upload with a {type(job).__name__}")
    return job


def _chunks(pieces: Iterable[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """The same bytes in chunks of one size; only the last is shorter."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= chunk_bytes:
            joined = b"".join(waiting)
            whole = size - size % chunk_bytes
            for start in range(0, whole, chunk_bytes):
                yield joined[start : start + chunk_bytes]
            waiting, size = [joined[whole:]], size - whole
    if size:
        yield b"".join(waiting)


class _Upload:
    """One upload session. `received` counts the bytes the server has confirmed."""

    def __init__(self, client: bigquery.Client, resource: dict[str, Any], timeout_seconds: float) -> None:
        # The library offers no public way to its session and address; its own uploads take the same two.
        self._session: requests.Session = client._http
        self._timeout = timeout_seconds
        self.received = 0
        base = client._connection.API_BASE_URL
        reply = self._session.post(
            f"{base}/upload/bigquery/v2/projects/{client.project}/jobs?uploadType=resumable",
            json=resource,
            headers={"X-Upload-Content-Type": "application/octet-stream"},
            timeout=timeout_seconds,
        )
        if not reply.ok or "location" not in reply.headers:
            raise exceptions.from_http_response(reply)  # type: ignore[no-untyped-call]
        self._url = reply.headers["location"]

    def send(self, chunk: bytes, *, is_last: bool) -> dict[str, Any]:
        """Send a chunk until the server has all of it; the job's resource after the last one, else nothing."""
        start = self.received
        end = start + len(chunk)
        total = str(end) if is_last else "*"
        waits = iter(RESUME_SECONDS)
        while True:
            body = chunk[self.received - start :]
            span = f"{self.received}-{end - 1}" if body else "*"
            before = self.received
            try:
                done = self._put(body, f"bytes {span}/{total}")
            except REQUEST_ERRORS as error:
                done = self._resume(error, waits)
            if done is not None:
                return done
            if not start <= self.received <= end:
                raise UploadLost(f"the server has {self.received} bytes of {start} to {end} sent")
            if self.received == end and not is_last:
                return {}
            if self.received == before:
                self._wait(waits, UploadLost(f"the server stays at {self.received} of {end} bytes"))

    def _resume(self, error: BaseException, waits: Iterator[float]) -> dict[str, Any] | None:
        """Ask what has arrived, after a failure that leaves it open. Raises the failure when it does not, or lasts."""
        while True:
            if isinstance(error, UploadLost) or of_request(error) is not Reaction.SAME_ID:
                raise error
            self._wait(waits, error)
            try:
                return self._put(b"", "bytes */*")
            except REQUEST_ERRORS as following:
                error = following

    def _wait(self, waits: Iterator[float], error: BaseException) -> None:
        """Wait for a while, or raise the error when there was patience enough."""
        wait = next(waits, None)
        if wait is None:
            raise error
        log.warning("upload interrupted at %d bytes, going on in %g s: %s", self.received, wait, error)
        time.sleep(wait)

    def _put(self, body: bytes, content_range: str) -> dict[str, Any] | None:
        reply = self._session.put(
            self._url,
            data=body,
            headers={"Content-Range": content_range, "Content-Type": "application/octet-stream"},
            timeout=self._timeout,
            allow_redirects=False,
        )
        if reply.status_code == _INCOMPLETE:
            found = _RANGE.fullmatch(reply.headers.get("range", ""))
            self.received = int(found[1]) + 1 if found else 0
            return None
        if reply.status_code in _FORGOTTEN:
            raise UploadLost(f"the server does not know this upload any more ({reply.status_code})")
        if not reply.ok:
            raise exceptions.from_http_response(reply)  # type: ignore[no-untyped-call]
        resource: dict[str, Any] = reply.json()
        return resource
