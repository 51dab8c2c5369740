"""The archive: segments whose rows are in the marts, compressed, each with its manifest, in a folder for each day.

A store keeps the files; keys are `YYYY-MM-DD/<file name>`, the day (UTC) of the first record's received_at. Segments
that an earlier release archived uncompressed are read as well.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, Self

from . import durable
from .compression import CHUNK_BYTES, Damaged, compressed, decompressed
from .errors import ArchiveDamaged, ManifestInvalid, SegmentMissing
from .manifest import Manifest
from .names import COMPRESSED_SUFFIX, MANIFEST_SUFFIX, SEGMENT_SUFFIX, SegmentName
from .spool import Spool, State


class StoredFile(NamedTuple):
    """A file of a store, with its size in bytes."""

    key: str
    bytes: int


class Store(Protocol):
    """Where an archive's files lie. All methods raise OSError, or what a remote store's client raises."""

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        """Keep a file durably and whole, or not at all; one of that key is replaced."""

    def open(self, key: str) -> BinaryIO:
        """A file's bytes, from its beginning. Raises FileNotFoundError."""

    def files(self) -> Iterator[StoredFile]:
        """Everything that is kept, in no order."""

    def delete(self, key: str) -> None:
        """Delete a file; one that is gone already is a success."""


class FolderStore:
    """A store that is a folder, which is made when the first file comes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        """See Store. One process at a time."""
        path = self.root / key
        durable.make_dir(path.parent)
        durable.write_atomic(path, chunks)

    def open(self, key: str) -> BinaryIO:
        """See Store."""
        return (self.root / key).open("rb")

    def files(self) -> Iterator[StoredFile]:
        """See Store; unfinished files are left out."""
        for path in self.root.glob("*/*"):
            if path.suffix != durable.TMP_SUFFIX:
                yield StoredFile(f"{path.parent.name}/{path.name}", path.stat().st_size)

    def delete(self, key: str) -> None:
        """See Store. The day's folder goes with its last file."""
        path = self.root / key
        durable.remove(path)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()


class ArchivedSegment(NamedTuple):
    """A segment in the archive. `bytes` is what it takes there, without its manifest."""

    day: str
    name: SegmentName
    key: str
    bytes: int
    has_manifest: bool

    @property
    def manifest_key(self) -> str:
        """Key of the manifest beside it."""
        return f"{self.day}/{self.name.manifest_name}"


class Archive:
    """Segments in a store. Those who change an archive do it one at a time (include.pipeline sees to it)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def in_spool(cls, spool: Spool) -> Self:
        """The archive in the spool's own folder."""
        return cls(FolderStore(spool.folder(State.ARCHIVED)))

    def take(self, spool: Spool, name: SegmentName) -> None:
        """Take over a segment from loaded/: the plain file goes only after what is stored was read back and proven.

        One that is in the archive already is a success. Can be repeated after a crash at any point. Raises
        ArchiveDamaged (the plain file stays), SegmentMissing, ManifestInvalid, UnknownFormat.
        """
        source = spool.path(name, State.LOADED)
        if source.exists():
            manifest = spool.manifest(name, State.LOADED)
            self._store_proven(manifest, name, source)
            spool.drop_archived(name)
        elif all(segment.name != name for segment in self.segments()):
            raise SegmentMissing(f"segment {name.file_name} is neither in loaded/ nor archived", path=spool.root)

    def _store_proven(self, manifest: Manifest, name: SegmentName, source: Path) -> None:
        day = manifest.received_at_min[:10]
        # The manifest first: what is in the archive has its manifest at every moment. What an interrupted try has left
        # is written again: that it can be read does not prove that it is durable.
        self.store.put(f"{day}/{name.manifest_name}", [source.with_name(name.manifest_name).read_bytes()])
        key = f"{day}/{name.file_name}{COMPRESSED_SUFFIX}"
        with source.open("rb") as file:
            self.store.put(key, compressed(_proven(file, manifest)))
        if not self._holds(key, manifest):
            raise ArchiveDamaged(
                f"{key} was stored and does not read back as it should",
                path=source,
                hint="the plain segment was kept; is the archive's disk damaged?",
            )

    def _holds(self, key: str, manifest: Manifest) -> bool:
        try:
            with decompressed(self.store.open(key), key) as file:
                return _fingerprint(file) == (manifest.bytes, manifest.sha256)
        except FileNotFoundError:
            return False

    def segments(self) -> list[ArchivedSegment]:
        """Everything archived, the oldest day first. Raises InvalidName for a file that is no segment's."""
        files = dict(self.store.files())
        found = []
        for key, size in files.items():
            if key.endswith((SEGMENT_SUFFIX, SEGMENT_SUFFIX + COMPRESSED_SUFFIX)):
                day, file_name = key.split("/")
                name = SegmentName.parse(file_name.removesuffix(COMPRESSED_SUFFIX))
                found.append(ArchivedSegment(day, name, key, size, f"{day}/{name.manifest_name}" in files))
        return sorted(found)

    def stray_manifests(self) -> list[str]:
        """Keys of manifests without a segment."""
        keys = {file.key for file in self.store.files()}
        stray = []
        for key in keys:
            segment = key.removesuffix(MANIFEST_SUFFIX)
            if segment != key and not {segment, segment + COMPRESSED_SUFFIX} & keys:
                stray.append(key)
        return sorted(stray)

    def manifest(self, segment: ArchivedSegment) -> Manifest:
        """Raises ManifestInvalid (also when there is none) and UnknownFormat."""
        try:
            with self.store.open(segment.manifest_key) as file:
                data = file.read()
        except FileNotFoundError as error:
            raise ManifestInvalid(
                "manifest is missing", path=Path(segment.manifest_key), hint="was its segment moved by hand?"
            ) from error
        return Manifest.decode(data, Path(segment.manifest_key))

    def open(self, segment: ArchivedSegment) -> BinaryIO:
        """The segment's own bytes, from first to last; it cannot be rewound."""
        return decompressed(self.store.open(segment.key), segment.key)

    def is_proven(self, segment: ArchivedSegment) -> bool:
        """Whether its bytes are those its manifest names. Reads all of it. Raises as `manifest` does."""
        return self._holds(segment.key, self.manifest(segment))

    def remove(self, segment: ArchivedSegment) -> None:
        """Delete a segment, then its manifest."""
        self.store.delete(segment.key)
        self.store.delete(segment.manifest_key)


def restore(spool: Spool, manifest: Manifest, content: BinaryIO) -> None:
    """Put a copy of a segment into the sealed/ of another spool; one that is there or in loaded/ is left as it is.

    Raises ArchiveDamaged when the content is not what the manifest names; nothing is put there then.
    """
    name = SegmentName.parse(manifest.segment)
    path = spool.path(name, State.SEALED)
    if not path.exists() and not spool.path(name, State.LOADED).exists():
        manifest.write(spool.manifest_path(name, State.SEALED))
        durable.write_atomic(path, _proven(content, manifest))


def _proven(content: BinaryIO, manifest: Manifest) -> Iterator[bytes]:
    """A segment's bytes. Raises ArchiveDamaged in place of the end when they are not what the manifest says: so nothing
    of them is kept."""
    digest, size = hashlib.sha256(), 0
    try:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
    except Damaged:
        size = -1
    if (size, digest.hexdigest()) != (manifest.bytes, manifest.sha256):
        raise ArchiveDamaged(
            f"segment {manifest.segment} is not the one its manifest names",
            hint="make fsck DEEP=1 finds all such segments; its rows were loaded as they should be",
        )


def _fingerprint(file: BinaryIO) -> tuple[int, str] | None:
    """Size and SHA-256 of what is left to read; None where the compressed bytes are damaged."""
    digest, size = hashlib.sha256(), 0
    try:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    except Damaged:
        return None
    return size, digest.hexdigest()
