"""What a check of the installation can find."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Kind(enum.StrEnum):
    """What is wrong. docs/operations.md says what to do about each."""

    SEALED_BUT_LOADED = "sealed_but_loaded"
    LOADED_BUT_UNFINISHED = "loaded_but_unfinished"
    LOADED_BUT_UNKNOWN = "loaded_but_unknown"
    LOADED_AND_ARCHIVED = "loaded_and_archived"
    ARCHIVED_BUT_UNPROVEN = "archived_but_unproven"
    OTHER_CONTENT = "other_content"
    DAMAGED = "damaged"
    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_ALONE = "manifest_alone"
    SEGMENT_MISSING = "segment_missing"
    RECORDS_MISSING = "records_missing"
    BATCH_UNFINISHED = "batch_unfinished"
    ROWS_DIFFER = "rows_differ"
    ROWS_WITHOUT_BATCH = "rows_without_batch"
    WRITER_DEAD = "writer_dead"
    UNFINISHED_FILE = "unfinished_file"
    LOCK_LEFT = "lock_left"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    `subject` names the segment, file, batch or session. `advice` is what `repair` does or, where there is none, what a
    person has to do.
    """

    kind: Kind
    subject: str
    message: str
    advice: str
    repair: Callable[[], object] | None = None

    @property
    def key(self) -> tuple[Kind, str]:
        """The same in a second look."""
        return self.kind, self.subject

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "kind": self.kind.value,
            "subject": self.subject,
            "message": self.message,
            "advice": self.advice,
            "is_safe": self.repair is not None,
        }
