"""The spool: the on-disk contract between the streamer and the pipeline, specified in docs/spool-format.md."""

from .archive import Archive, ArchivedSegment, FolderStore, Store, StoredFile, restore
from .compression import open_segment
from .errors import (
    ArchiveDamaged,
    InvalidName,
    ManifestInvalid,
    SegmentInvalid,
    SegmentMissing,
    SourceMismatch,
    SpoolError,
    SpoolLocked,
    SpoolMissing,
    SyncFailed,
    UnknownFormat,
)
from .frames import MALFORMED, Header, judge_all
from .manifest import Manifest
from .names import FORMAT_VERSION, SegmentName, Session
from .reader import StoredRecord, read_records
from .records import Record, RecordEncoder
from .sealer import SealKind, SealOutcome, SealReport, seal, seal_all
from .spool import Spool, State, Usage
from .writer import SegmentWriter

__all__ = [
    "FORMAT_VERSION",
    "MALFORMED",
    "Archive",
    "ArchiveDamaged",
    "ArchivedSegment",
    "FolderStore",
    "Header",
    "InvalidName",
    "Manifest",
    "ManifestInvalid",
    "Record",
    "RecordEncoder",
    "SealKind",
    "SealOutcome",
    "SealReport",
    "SegmentInvalid",
    "SegmentMissing",
    "SegmentName",
    "SegmentWriter",
    "Session",
    "SourceMismatch",
    "Spool",
    "SpoolError",
    "SpoolLocked",
    "SpoolMissing",
    "State",
    "Store",
    "StoredFile",
    "StoredRecord",
    "SyncFailed",
    "UnknownFormat",
    "Usage",
    "judge_all",
    "open_segment",
    "read_records",
    "restore",
    "seal",
    "seal_all",
]
