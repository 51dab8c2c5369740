"""Names of sessions and segments, in both directions."""

import functools
import re
import secrets
from typing import Self

import msgspec

from .errors import InvalidName, UnknownFormat
from .timestamps import format_second

FORMAT_VERSION = 1

SEGMENT_SUFFIX = ".ndjson"
MANIFEST_SUFFIX = ".manifest.json"
COMPRESSED_SUFFIX = ".zst"
"""Follows on a segment's file name in the archive."""
TORN_SUFFIX = ".torn"
REFUSED_SUFFIX = ".refused"
REASON_SUFFIX = ".reason.json"

_STREAMER_ID = r"[a-z0-9][a-z0-9-]{0,39}"
_SESSION_ID = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"
_SEGMENT = re.compile(rf"({_STREAMER_ID})\.({_SESSION_ID})\.([0-9]{{6,}})\.v([0-9]+)\.ndjson")
_NAME_HINT = "a segment is named <streamer_id>.<session_id>.<segment_no>.v<version>.ndjson (docs/spool-format.md)"


def check_streamer_id(streamer_id: str) -> str:
    """The id itself when it has the specified form; raises InvalidName otherwise."""
    if not re.fullmatch(_STREAMER_ID, streamer_id):
        raise InvalidName(f"invalid streamer id {streamer_id!r}", hint="1 to 40 lower-case letters, digits, hyphens")
    return streamer_id


class Session(msgspec.Struct, frozen=True):
    """One run of one streamer process."""

    streamer_id: str
    session_id: str

    def __post_init__(self) -> None:
        check_streamer_id(self.streamer_id)
        if not re.fullmatch(_SESSION_ID, self.session_id):
            raise InvalidName(f"invalid session id {self.session_id!r}", hint="YYYYMMDDTHHMMSSZ- and 8 hex digits")

    @classmethod
    def new(cls, streamer_id: str, now_ns: int) -> Self:
        """A session that starts at `now_ns` (nanoseconds since the epoch), unlike every other one."""
        started_at = format_second(now_ns // 1_000_000_000).replace("-", "").replace(":", "")
        return cls(streamer_id, f"{started_at}Z-{secrets.token_hex(4)}")


@functools.total_ordering
class SegmentName(msgspec.Struct, frozen=True):
    """The name of a segment. Sorts by session (that is by its start), then by number."""

    streamer_id: str
    session_id: str
    segment_no: int
    format_version: int = FORMAT_VERSION

    @classmethod
    def parse(cls, file_name: str) -> Self:
        """Raises InvalidName, and UnknownFormat for a version this code cannot read."""
        match = _SEGMENT.fullmatch(file_name)
        if match is None:
            raise InvalidName(f"not a segment's name: {file_name!r}", hint=_NAME_HINT)
        streamer_id, session_id, number, version = match.groups()
        if int(version) != FORMAT_VERSION:
            raise UnknownFormat(
                f"segment {file_name} has format version {version}, this code knows {FORMAT_VERSION}",
                hint="upgrade this side, or finish the spool with the version that wrote it",
            )
        name = cls(streamer_id, session_id, int(number))
        if name.segment_no < 1 or name.file_name != file_name:
            raise InvalidName(f"not a segment's name: {file_name!r}", hint=_NAME_HINT)
        return name

    @property
    def file_name(self) -> str:
        """Name of the segment's file."""
        return f"{self.streamer_id}.{self.session_id}.{self.segment_no:06d}.v{self.format_version}{SEGMENT_SUFFIX}"

    @property
    def manifest_name(self) -> str:
        """Name of the manifest beside the segment."""
        return self.file_name + MANIFEST_SUFFIX

    @property
    def torn_name(self) -> str:
        """Name of the torn tail that was cut from the segment, in quarantine."""
        return self.file_name + TORN_SUFFIX

    @property
    def refused_name(self) -> str:
        """Name of the file of the segment's lines that the warehouse refuses, in quarantine."""
        return self.file_name + REFUSED_SUFFIX

    @property
    def session(self) -> Session:
        """The session that wrote the segment."""
        return Session(self.streamer_id, self.session_id)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, SegmentName):
            return NotImplemented
        return self._order() < other._order()

    def _order(self) -> tuple[str, str, int]:
        return self.session_id, self.streamer_id, self.segment_no
