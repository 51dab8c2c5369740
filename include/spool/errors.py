"""What can go wrong with a spool.

    SpoolError
    ├── SpoolMissing        no spool in this folder
    ├── UnknownFormat       written in a format or version that this code does not know
    ├── SourceMismatch      the spool belongs to another source
    ├── SpoolLocked         another living streamer holds this streamer id
    ├── InvalidName         not a segment's, streamer's or session's name
    ├── SegmentMissing      a segment is not in the state it was expected in
    ├── SegmentInvalid      the bytes of a segment break the format
    ├── ManifestInvalid     a manifest is missing or unreadable
    └── ArchiveDamaged      what the archive holds is not what was put there

Failures of the file system itself (a full disk, missing rights) stay the OSError that Python raises: it names
the path, and its errno decides whether trying again makes sense. One of them never makes sense to repeat: SyncFailed.
"""

from pathlib import Path


class SpoolError(Exception):
    """Base of all spool errors. `path` is where, `hint` is what an operator can do about it."""

    def __init__(self, message: str, *, path: Path | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        where = f" ({self.path})" if self.path else ""
        hint = f" Hint: {self.hint}" if self.hint else ""
        return f"{super().__str__()}{where}{'.' if hint else ''}{hint}"


class SpoolMissing(SpoolError):
    """There is no spool in this folder."""


class UnknownFormat(SpoolError):
    """The format or version is not one this code can read; nothing was touched."""


class SourceMismatch(SpoolError):
    """The spool belongs to another source; made-up data must never lie beside live data."""


class SpoolLocked(SpoolError):
    """Another living process holds the lock of this streamer id."""


class InvalidName(SpoolError):
    """A file, streamer or session name does not have the specified form."""


class SegmentMissing(SpoolError):
    """The segment is not where it was expected."""


class SegmentInvalid(SpoolError):
    """A segment's bytes break the format at `line_no` (from 1), which starts at byte `offset`."""

    def __init__(self, reason: str, *, line_no: int, offset: int, path: Path | None = None) -> None:
        super().__init__(
            f"line {line_no} at byte {offset}: {reason}",
            path=path,
            hint="compare the line with docs/spool-format.md; the segment is never loaded as it is",
        )
        self.reason = reason
        self.line_no = line_no
        self.offset = offset


class ManifestInvalid(SpoolError):
    """A manifest is missing or does not have the specified form."""


class ArchiveDamaged(SpoolError):
    """The bytes in the archive are not those of the manifest."""


class SyncFailed(OSError):
    """Lines were written, but it is unknown what the disk holds of them. Linux may forget the pages it could not write:
    a second sync would succeed and prove nothing."""
