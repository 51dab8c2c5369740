"""The spool folder: states, transitions, locks."""

import contextlib
import enum
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from . import durable
from .errors import SegmentMissing, SourceMismatch, SpoolLocked, SpoolMissing, UnknownFormat
from .manifest import Manifest
from .names import (
    COMPRESSED_SUFFIX,
    FORMAT_VERSION,
    MANIFEST_SUFFIX,
    REFUSED_SUFFIX,
    SEGMENT_SUFFIX,
    TORN_SUFFIX,
    SegmentName,
    check_streamer_id,
)

FORMAT = "pulse-spool"
_SPOOL_FILE = "spool.json"
_LOCKS = "locks"
NEW_SUFFIX = ".new"


class State(enum.StrEnum):
    """Where a segment is on its way; the value is the folder's name."""

    ACTIVE = "active"
    SEALING = "sealing"
    SEALED = "sealed"
    LOADED = "loaded"
    ARCHIVED = "archived"
    QUARANTINED = "quarantined"


class Usage(NamedTuple):
    """What lies in one state. In quarantine a torn tail and a file of refused lines count as segments: nothing kept
    there is invisible."""

    segments: int
    bytes: int


class _SpoolFile(msgspec.Struct, frozen=True):
    format: str
    format_version: int
    source: str


class Spool:
    """A spool on disk. Holds no open files and no state of its own: any number of processes may have one each."""

    def __init__(self, root: Path, source: str) -> None:
        self.root = root
        self.source = source

    @classmethod
    def open(cls, path: Path, source: str, create: bool) -> Self:
        """Check an existing spool, or with `create` make a new one where there is none.

        Raises SpoolMissing, UnknownFormat or SourceMismatch; the spool is then untouched.
        """
        spool = cls(path, str(source))
        if create:
            durable.make_dir(path)
            with _folder_lock(path):
                if not spool._file.exists():
                    spool._create()
        spool._check()
        return spool

    @property
    def _file(self) -> Path:
        return self.root / _SPOOL_FILE

    def _create(self) -> None:
        for folder in (_LOCKS, *State):
            durable.make_dir(self.root / folder)
        content = _SpoolFile(FORMAT, FORMAT_VERSION, self.source)
        durable.write_atomic(self._file, [msgspec.json.encode(content), b"\n"])

    def _check(self) -> None:
        try:
            content = msgspec.json.decode(self._file.read_bytes(), type=_SpoolFile)
        except FileNotFoundError as error:
            raise SpoolMissing(
                "there is no spool in this folder",
                path=self.root,
                hint="the streamer creates it at its first start; check PULSE_SPOOL_DIR",
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnknownFormat(f"not a spool file: {error}", path=self._file, hint="check PULSE_SPOOL_DIR") from error
        if (content.format, content.format_version) != (FORMAT, FORMAT_VERSION):
            raise UnknownFormat(
                f"format is {content.format} version {content.format_version}, "
                f"this code knows {FORMAT} version {FORMAT_VERSION}",
                path=self._file,
                hint="let all parts run the same release",
            )
        if content.source != self.source:
            raise SourceMismatch(
                f"the spool holds {content.source} data, not {self.source}",
                path=self._file,
                hint="give every source a spool folder of its own (PULSE_SPOOL_DIR)",
            )

    def folder(self, state: State) -> Path:
        """The folder of a state; archived segments lie in its day folders."""
        return self.root / state.value

    def segments(self, state: State) -> list[SegmentName]:
        """The segments in a state, sorted.

        Raises InvalidName or UnknownFormat for a `.ndjson` file that is not a segment of this version.
        """
        entries = self._entries(state, *_suffixes(state))
        return sorted(SegmentName.parse(entry.name.removesuffix(COMPRESSED_SUFFIX)) for entry in entries)

    def path(self, name: SegmentName, state: State) -> Path:
        """Where a segment of this state lies or would lie; an archived one is looked for, else SegmentMissing.

        `open_segment` reads the file, which is compressed when it is archived.
        """
        if state is not State.ARCHIVED:
            return self.folder(state) / name.file_name
        found = self._archived(name)
        if found is None:
            raise SegmentMissing(f"segment {name.file_name} is not archived", path=self.folder(state))
        return found

    def manifest_path(self, name: SegmentName, state: State) -> Path:
        """Where the manifest of a segment of this state lies or would lie."""
        return self.path(name, state).with_name(name.manifest_name)

    def manifest(self, name: SegmentName, state: State) -> Manifest:
        """Raises ManifestInvalid, UnknownFormat, and SegmentMissing for an archived segment that is not there."""
        return Manifest.read(self.manifest_path(name, state))

    def usage(self, states: Iterable[State] = State) -> dict[State, Usage]:
        """Number and size of what lies in each of the states. Not a snapshot: segments move while it counts."""
        result = {}
        for state in states:
            extra = (TORN_SUFFIX, REFUSED_SUFFIX) if state is State.QUARANTINED else ()
            sizes = []
            for entry in self._entries(state, *_suffixes(state), *extra):
                with contextlib.suppress(FileNotFoundError):
                    sizes.append(entry.stat().st_size)
            result[state] = Usage(len(sizes), sum(sizes))
        return result

    def _entries(self, state: State, *suffixes: str) -> Iterator[os.DirEntry[str]]:
        folders = [self.folder(state)]
        if state is State.ARCHIVED:
            folders = sorted(path for path in folders[0].iterdir() if path.is_dir())
        for folder in folders:
            with os.scandir(folder) as entries:
                yield from (entry for entry in entries if entry.name.endswith(suffixes) and entry.name[0] != ".")

    def _archived(self, name: SegmentName) -> Path | None:
        for suffix in (COMPRESSED_SUFFIX, ""):
            for path in self.folder(State.ARCHIVED).glob(f"*/{name.file_name}{suffix}"):
                return path
        return None

    @contextlib.contextmanager
    def lock_streamer(self, streamer_id: str) -> Iterator[None]:
        """Hold the lock of a streamer id; raises SpoolLocked when another process holds it.

        The kernel drops the lock when the process ends, however it ends. Segments that dead runs opened and never
        wrote to are removed.
        """
        path = self.root / _LOCKS / f"{check_streamer_id(streamer_id)}.lock"
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SpoolLocked(
                    f"another process runs as streamer {streamer_id}",
                    path=path,
                    hint="give every streamer of a spool its own PULSE_STREAMER_ID, or stop the other one",
                ) from error
            self._remove_unused(streamer_id)
            yield

    def _remove_unused(self, streamer_id: str) -> None:
        for orphan in self.folder(State.ACTIVE).glob(f".{streamer_id}.*{NEW_SUFFIX}"):
            durable.remove(orphan)
        for name in self.segments(State.ACTIVE):
            if name.streamer_id == streamer_id and not self._has_data(name):
                durable.remove(self.path(name, State.ACTIVE))

    def rotate(self, name: SegmentName) -> bool:
        """Take a segment from active/ to sealing/. False when somebody else did it before."""
        try:
            durable.rename_durable(self.path(name, State.ACTIVE), self.path(name, State.SEALING))
        except FileNotFoundError:
            return False
        return True

    def rotate_all(self) -> list[SegmentName]:
        """Rotate every active segment that has data; the names of those that this call rotated."""
        return [name for name in self.segments(State.ACTIVE) if self._has_data(name) and self.rotate(name)]

    def _has_data(self, name: SegmentName) -> bool:
        try:
            return self.path(name, State.ACTIVE).stat().st_size > 0
        except FileNotFoundError:
            return False

    def mark_loaded(self, name: SegmentName) -> None:
        """Take a segment from sealed/ to loaded/. One that is there or archived already is a success.

        Raises SegmentMissing.
        """
        source, target = self.path(name, State.SEALED), self.path(name, State.LOADED)
        if not self._advance(source, target) and self._archived(name) is None:
            raise self._missing(name, State.SEALED)

    def take_back(self, name: SegmentName) -> None:
        """Take a segment from loaded/ back to sealed/: its batch turned out not to be loaded. Raises SegmentMissing."""
        if not self._advance(self.path(name, State.LOADED), self.path(name, State.SEALED)):
            raise self._missing(name, State.LOADED)

    def remove_leftover(self, path: Path) -> None:
        """Delete a file of the spool that is no segment; raises ValueError for one that is."""
        if path.name.endswith((SEGMENT_SUFFIX, SEGMENT_SUFFIX + COMPRESSED_SUFFIX, TORN_SUFFIX)):
            raise ValueError(f"{path} is data")
        durable.remove(path)

    def drop_archived(self, name: SegmentName) -> None:
        """Delete a segment and its manifest from loaded/. Only the archive calls this, for what it has proven."""
        for path in (self.path(name, State.LOADED), self.manifest_path(name, State.LOADED)):
            durable.remove(path)

    def _advance(self, source: Path, target: Path) -> bool:
        """Move a segment and its manifest; whether the segment is at the target now.

        The manifest gets its second name first and loses its old one last, so that a segment has its manifest beside
        it at every moment, also between the steps of a crash.
        """
        manifest = source.name + MANIFEST_SUFFIX
        if source.exists():
            # Another process may do the same step at this moment; what counts is where the segment ends up.
            with contextlib.suppress(FileNotFoundError):
                durable.link_durable(source.with_name(manifest), target.with_name(manifest))
                durable.rename_durable(source, target)
        if not target.exists():
            return False
        # Whoever moved it may have died before the new name was durable; the old ones go only after it is.
        durable.fsync_dir(target.parent)
        durable.remove(source.with_name(manifest))
        return True

    def is_finished(self, name: SegmentName, fd: int) -> bool:
        """Whether the open file lies in loaded/ already: a power cut can bring back a name that was on its way out when
        a process died. Of an archived segment it brings back a copy, which is sealed, loaded and archived as a
        repetition: nothing happens twice."""
        loaded = self.path(name, State.LOADED)
        return loaded.exists() and os.path.samestat(loaded.stat(), os.fstat(fd))

    def _missing(self, name: SegmentName, expected: State) -> SegmentMissing:
        return SegmentMissing(
            f"segment {name.file_name} is not in {expected}/",
            path=self.root,
            hint=f"find it with: find {self.root} -name '{name.file_name}*'",
        )


def _suffixes(state: State) -> tuple[str, ...]:
    """How the names of a state's segments end."""
    return (SEGMENT_SUFFIX, SEGMENT_SUFFIX + COMPRESSED_SUFFIX) if state is State.ARCHIVED else (SEGMENT_SUFFIX,)


@contextlib.contextmanager
def _folder_lock(path: Path) -> Iterator[None]:
    """One creator at a time."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
