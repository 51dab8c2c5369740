"""The manifest of a sealed segment: what is inside, proven by a hash."""

from collections.abc import Buffer
from pathlib import Path
from typing import Self

import msgspec

from . import durable
from .drift import Drift
from .errors import ManifestInvalid, UnknownFormat
from .names import FORMAT_VERSION


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields in the order of docs/spool-format.md, which gives their meaning. Instants are UTC text."""

    format_version: int
    segment: str
    source: str
    streamer_id: str
    session_id: str
    segment_no: int
    records: int
    bytes: int
    first_record_no: int
    last_record_no: int
    sha256: str
    received_at_min: str
    received_at_max: str
    traded_at_min: str | None
    traded_at_max: str | None
    types: dict[str, int]
    product_ids: list[str]
    torn_bytes: int
    sealed_at: str
    drift: list[Drift] = []

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ManifestInvalid (also when there is none) and UnknownFormat."""
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ManifestInvalid("manifest is missing", path=path, hint="was its segment moved by hand?") from error
        return cls.decode(data, path)

    @classmethod
    def decode(cls, data: Buffer, path: Path) -> Self:
        """From the content of its file; `path` is for errors. Raises ManifestInvalid and UnknownFormat."""
        try:
            version = msgspec.json.decode(data, type=_Version).format_version
            if version != FORMAT_VERSION:
                raise UnknownFormat(
                    f"manifest has format version {version}, this code knows {FORMAT_VERSION}",
                    path=path,
                    hint="upgrade this side",
                )
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ManifestInvalid(
                f"manifest is unreadable: {error}",
                path=path,
                hint="move its segment back to sealing/ and let it be sealed again",
            ) from error

    def write(self, path: Path) -> None:
        """Write durably and atomically: one line of JSON, keys in the specified order."""
        durable.write_atomic(path, [msgspec.json.encode(self), b"\n"])


class _Version(msgspec.Struct):
    format_version: int
