"""An archive in Google Cloud Storage. The client library is imported at first use: only the Airflow environment has
it, and only archives in a bucket need it."""

import tempfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, BinaryIO, Self, cast

from google.api_core import exceptions

from include.spool import StoredFile

SCHEME = "gs://"
_MEMORY_BYTES = 16 * 1024 * 1024


class BucketStore:
    """Files as objects below a prefix. An object appears whole or not at all, and is durable when the upload returns.

    Methods raise google.api_core.exceptions.GoogleAPIError, and OSError when the service is away.
    """

    def __init__(self, bucket: Any, prefix: str) -> None:
        """`bucket` is a google.cloud.storage.Bucket; `prefix` ends with a slash."""
        self._bucket = bucket
        self._prefix = prefix

    @classmethod
    def connect(cls, url: str, *, folder: str) -> Self:
        """`gs://bucket/prefix`, with application default credentials. Raises ModuleNotFoundError and what the client
        library raises without credentials; opens no connection yet."""
        try:
            storage = import_module("google.cloud.storage")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{url} needs the package google-cloud-storage. Hint: it is in the Airflow environment "
                f"(.venvs/airflow); or set PULSE_ARCHIVE_URL to a folder",
                name=error.name,
            ) from error
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        parts = [part for part in (prefix.strip("/"), folder) if part]
        return cls(storage.Client().bucket(bucket), "/".join(parts) + "/")

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        """See include.spool.Store."""
        with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as file:
            for chunk in chunks:
                file.write(chunk)
            self._bucket.blob(self._prefix + key).upload_from_file(file, rewind=True, checksum="crc32c")

    def open(self, key: str) -> BinaryIO:
        """See include.spool.Store."""
        blob = self._bucket.get_blob(self._prefix + key)
        if blob is None:
            raise FileNotFoundError(f"gs://{self._bucket.name}/{self._prefix}{key}")
        return cast(BinaryIO, blob.open("rb"))

    def files(self) -> Iterator[StoredFile]:
        """See include.spool.Store."""
        for blob in self._bucket.list_blobs(prefix=self._prefix):
            yield StoredFile(blob.name.removeprefix(self._prefix), blob.size)

    def delete(self, key: str) -> None:
        """See include.spool.Store."""
        try:
            self._bucket.delete_blob(self._prefix + key)
        except exceptions.NotFound:
            return
