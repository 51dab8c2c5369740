"""The spool and the archive against what the ledger says of their segments, and against themselves."""

import contextlib
import fcntl
import hashlib
import time
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Final

from include.pipeline.findings import Finding, Kind
from include.spool import (
    Archive,
    ArchivedSegment,
    Manifest,
    ManifestInvalid,
    SegmentName,
    Spool,
    State,
    UnknownFormat,
)
from include.warehouse.ledger import KnownSegment, Ledger

#: An unfinished file this old is nobody's: writing one takes seconds.
UNFINISHED_SECONDS: Final = 600
_MANIFEST_SUFFIX: Final = ".manifest.json"
_NAMES_A_QUERY: Final = 10_000
_BATCH_LOCKS: Final = "_batch.*.lock"


class SpoolChecks:
    """One look. Listings are taken once, in the order a segment takes, so that one on its way is seen."""

    def __init__(self, spool: Spool, archive: Archive, ledger: Ledger, *, deep: bool) -> None:
        self._spool = spool
        self._archive = archive
        self._ledger = ledger
        self._deep = deep
        self.places = {state: spool.segments(state) for state in (State.ACTIVE, State.SEALING, State.SEALED)}
        self.places[State.LOADED] = spool.segments(State.LOADED)
        self.archived: dict[SegmentName, ArchivedSegment] = {segment.name: segment for segment in archive.segments()}

    def findings(self) -> Iterator[Finding]:
        """Everything that is found, unordered."""
        for state in (State.SEALED, State.LOADED):
            for name in self.places[state]:
                yield from self._plain(name, state)
        for segment in self.archived.values():
            yield from self._archived(segment)
        yield from self._manifests_alone()
        yield from self._dead_writers()
        yield from self._unfinished_files()
        yield from self._locks()

    @cached_property
    def known(self) -> dict[str, KnownSegment]:
        """What the ledger says of the segments that are here, and of those whose manifest is."""
        names = {name.file_name for state in (State.SEALED, State.LOADED) for name in self.places[state]}
        names |= {name.file_name for name in self.archived}
        names |= {name.file_name for name, _ in self._lonely_manifests}
        wanted = sorted(names)
        found: dict[str, KnownSegment] = {}
        for start in range(0, len(wanted), _NAMES_A_QUERY):
            found |= self._ledger.known_segments(wanted[start : start + _NAMES_A_QUERY])
        return found

    # ------------------------------------------------------------------- segments

    def _plain(self, name: SegmentName, state: State) -> Iterator[Finding]:
        known = self.known.get(name.file_name)
        subject = f"{state}/{name.file_name}"
        try:
            manifest = self._spool.manifest(name, state)
        except (ManifestInvalid, UnknownFormat) as error:
            if self._spool.path(name, state).exists():
                yield _no_manifest(subject, error)
            return
        if (content := self._content(subject, manifest, known)) is not None:
            yield content
            return
        with contextlib.suppress(FileNotFoundError):  # moved on since it was listed
            if self._is_damaged(self._spool.path(name, state), manifest):
                yield _damaged(subject)
                return
        yield from self._sealed(name, subject, known) if state is State.SEALED else self._loaded(name, subject, known)

    def _sealed(self, name: SegmentName, subject: str, known: KnownSegment | None) -> Iterator[Finding]:
        if known and known.is_loaded:
            yield Finding(
                Kind.SEALED_BUT_LOADED,
                subject,
                f"batch {known.batch_id}, which holds it, is loaded",
                "move it to loaded/, as the next load_segments would",
                partial(self._spool.mark_loaded, name),
            )

    def _loaded(self, name: SegmentName, subject: str, known: KnownSegment | None) -> Iterator[Finding]:
        if known is None:
            yield Finding(
                Kind.LOADED_BUT_UNKNOWN,
                subject,
                "the ledger does not know it",
                "if raw.messages has no row of its session and record numbers, move it and its manifest to sealed/: it"
                " is loaded; if raw has them, the ledger was lost: restore it first",
            )
        elif not known.is_loaded:
            yield Finding(
                Kind.LOADED_BUT_UNFINISHED,
                subject,
                f"batch {known.batch_id}, which holds it, is not loaded",
                "move it back to sealed/, where the load of its batch looks for it",
                partial(self._spool.take_back, name),
            )
        elif name in self.archived:
            yield Finding(
                Kind.LOADED_AND_ARCHIVED,
                subject,
                "it lies in the archive too: archiving was interrupted",
                "archive it again, as the next archive_segments would",
                partial(self._archive.take, self._spool, name),
            )

    def _archived(self, segment: ArchivedSegment) -> Iterator[Finding]:
        known = self.known.get(segment.name.file_name)
        subject = f"archived/{segment.key}"
        try:
            manifest = self._archive.manifest(segment)
        except (ManifestInvalid, UnknownFormat) as error:
            yield _no_manifest(subject, error)
            return
        if (content := self._content(subject, manifest, known)) is not None:
            yield content
        elif self._deep and not self._archive.is_proven(segment):
            if segment.name not in self.places[State.LOADED]:
                yield _damaged(subject)
        elif known is None or not known.is_transformed:
            yield Finding(
                Kind.ARCHIVED_BUT_UNPROVEN,
                subject,
                "the ledger does not say that it is in the marts",
                "if the warehouse was emptied, load it again: python -m include.pipeline replay",
            )

    def _content(self, subject: str, manifest: Manifest, known: KnownSegment | None) -> Finding | None:
        if known is None or known.sha256 == manifest.sha256:
            return None
        return Finding(
            Kind.OTHER_CONTENT,
            subject,
            f"its manifest has SHA-256 {manifest.sha256}, the ledger {known.sha256} (batch {known.batch_id})",
            "two segments have one name: find out which one is in raw.messages, and keep the other one elsewhere",
        )

    def _is_damaged(self, path: Path, manifest: Manifest) -> bool:
        if path.stat().st_size != manifest.bytes:
            return True
        if not self._deep:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() != manifest.sha256

    # ------------------------------------------------------------------ manifests

    @cached_property
    def _lonely_manifests(self) -> list[tuple[SegmentName, str]]:
        """Segment and place of manifests that have no segment beside them."""
        found = []
        for state in (State.SEALED, State.LOADED):
            for path in self._spool.folder(state).glob(f"*{_MANIFEST_SUFFIX}"):
                name = SegmentName.parse(path.name.removesuffix(_MANIFEST_SUFFIX))
                if not self._spool.path(name, state).exists():
                    found.append((name, f"{state}/{path.name}"))
        for key in self._archive.stray_manifests():
            name = SegmentName.parse(key.split("/")[1].removesuffix(_MANIFEST_SUFFIX))
            found.append((name, f"archived/{key}"))
        return found

    def _manifests_alone(self) -> Iterator[Finding]:
        for name, subject in self._lonely_manifests:
            if any(name in self.places[state] for state in (State.ACTIVE, State.SEALING)):
                continue  # a sealer died before its last step; the next one does it again
            known = self.known.get(name.file_name)
            is_elsewhere = name in self.archived or any(name in names for names in self.places.values())
            is_done = known is not None and known.is_transformed
            if is_elsewhere or is_done:
                yield Finding(
                    Kind.MANIFEST_ALONE,
                    subject,
                    "its segment has moved on" if is_elsewhere else "its segment, which is in the marts, was deleted",
                    "delete it",
                    partial(self._remove_manifest, subject),
                )
            else:
                yield Finding(
                    Kind.SEGMENT_MISSING,
                    subject,
                    "its segment is nowhere, and not in the marts",
                    "look for the segment in backups and put it beside its manifest; without it its records are lost"
                    " but for what raw.messages has of them",
                )

    def _remove_manifest(self, subject: str) -> None:
        folder, _, key = subject.partition("/")
        if folder == State.ARCHIVED:
            self._archive.store.delete(key)
        else:
            self._spool.remove_leftover(self._spool.root / subject)

    # ------------------------------------------------------- what dead processes left

    def _dead_writers(self) -> Iterator[Finding]:
        for name in self.places[State.ACTIVE]:
            path = self._spool.path(name, State.ACTIVE)
            with contextlib.suppress(FileNotFoundError):
                if _is_locked(path):
                    continue
                subject = f"active/{name.file_name}"
                if path.stat().st_size:
                    yield Finding(
                        Kind.WRITER_DEAD,
                        subject,
                        "its writer is dead, and no sealer has come since",
                        "move it to sealing/, as the next seal_segments would",
                        partial(self._spool.rotate, name),
                    )
                else:
                    yield self._unborn(name.streamer_id, subject, "it is empty and its writer is dead")

    def _unfinished_files(self) -> Iterator[Finding]:
        now = time.time()
        for path in sorted(self._spool.root.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                if path.suffix not in {".tmp", ".new"} or now - path.stat().st_mtime < UNFINISHED_SECONDS:
                    continue
                subject = str(path.relative_to(self._spool.root))
                text = f"nobody has written to it for {UNFINISHED_SECONDS // 60} minutes"
                if path.suffix == ".new":
                    yield self._unborn(path.name.removeprefix(".").split(".")[0], subject, text)
                else:
                    yield Finding(
                        Kind.UNFINISHED_FILE,
                        subject,
                        text,
                        "delete it: what it was to become is written anew",
                        partial(self._spool.remove_leftover, path),
                    )

    def _unborn(self, streamer_id: str, subject: str, message: str) -> Finding:
        return Finding(
            Kind.UNFINISHED_FILE,
            subject,
            message,
            "delete it, under the streamer's lock: it never held data",
            partial(self._remove_unborn, streamer_id),
        )

    def _remove_unborn(self, streamer_id: str) -> None:
        with self._spool.lock_streamer(streamer_id):
            pass  # taking the lock removes what dead runs opened and never wrote to

    def _locks(self) -> Iterator[Finding]:
        unfinished = {entry.batch.batch_id for entry in self._ledger.unfinished()}
        for path in (self._spool.root / "locks").glob(_BATCH_LOCKS):
            with contextlib.suppress(FileNotFoundError):
                if path.name.split(".")[1] not in unfinished and not _is_locked(path):
                    yield Finding(
                        Kind.LOCK_LEFT,
                        f"locks/{path.name}",
                        "the process that held it is dead, and its batch is not unfinished",
                        "delete it",
                        partial(self._spool.remove_leftover, path),
                    )


def _no_manifest(subject: str, error: Exception) -> Finding:
    return Finding(
        Kind.MANIFEST_MISSING,
        subject,
        str(error),
        "if the ledger does not know the segment, move it (decompressed) to sealing/: it is sealed anew; else restore"
        " the manifest from a backup",
    )


def _damaged(subject: str) -> Finding:
    return Finding(
        Kind.DAMAGED,
        subject,
        "its bytes are not those of its manifest",
        "restore it from a backup; nothing loads, replays or deletes it as it is",
    )


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the file's lock. Raises FileNotFoundError."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
