"""The archive's compression (zstd) of whole segments, read and written as streams."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from .names import COMPRESSED_SUFFIX

LEVEL = 3
CHUNK_BYTES = 1024 * 1024


class Damaged(Exception):
    """Compressed bytes that cannot be decompressed, or not to what they were made of."""


def open_segment(path: Path) -> BinaryIO:
    """The bytes of a segment's file as they were sealed, whether it is compressed or not.

    To be read from first to last: only an uncompressed one can be rewound. Reading raises Damaged; a compressed file
    that was cut off just ends early, which only the manifest's hash shows.
    """
    return decompressed(path.open("rb"), path.name)


def decompressed(file: BinaryIO, name: str) -> BinaryIO:
    """What `file` holds, decompressed when its name says that it is. Closing the result closes `file`."""
    if not name.endswith(COMPRESSED_SUFFIX):
        return file
    return cast(BinaryIO, io.BufferedReader(_Reader(file), CHUNK_BYTES))


def compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, compressed."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


class _Reader(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        try:
            return int(self._reader.readinto(buffer))
        except zstandard.ZstdError as error:
            raise Damaged(str(error)) from error

    def close(self) -> None:
        self._reader.close()  # type: ignore[no-untyped-call]
        super().close()
