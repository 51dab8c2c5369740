"""Records: what one line of a segment holds, and how it is encoded."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from . import malformed
from .envelope import line_template
from .frames import CONTROL_PREFIX, MALFORMED, Header, judge
from .names import Session
from .timestamps import MICROSECONDS

_encode_json = msgspec.json.encode
_MALFORMED_HEADER = Header(MALFORMED)
_LINE_BREAK_TO_SPACE = bytes.maketrans(b"\n\r", b"  ")
_LF, _CR = b"\n\r"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One encoded record. `line` ends with its line feed; `header.type` is the line's type, also for the two kinds of
    record that are ours (`malformed`, `pulse_…`)."""

    line: bytes
    record_no: int
    received_at_us: int
    header: Header
    malformed: bool


class RecordEncoder:
    """Numbers and encodes the records of one session, in the order of the calls.

    `clock_ns` gives nanoseconds since the epoch (`time.time_ns`). When it goes back, received_at stands still until
    the clock has caught up. Every call consumes a record number: what it returns has to be written.
    """

    def __init__(self, session: Session, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._session = session
        self._last_us = 0
        self._record_no = 0
        # What lines of the same second and connection share is formatted once; negative: nothing yet.
        self._second_us = -MICROSECONDS
        self._connection_no = -1
        self._of_second = b""
        # The same of lines with one received_at: the last one's.
        self._of_moment = b""

    @property
    def record_no(self) -> int:
        """The last record number; 0 before the first."""
        return self._record_no

    def frame(self, frame: bytes, connection_no: int) -> Record:
        """Encode one frame."""
        return next(self.frames((frame,), connection_no))

    def frames(self, frames: Iterable[bytes], connection_no: int) -> Iterator[Record]:
        """Encode frames as received: messages, and malformed records that keep them whole.

        They were read from the socket at once, so they share received_at. What is encoded between two of them is
        numbered between them, and gives those after it a later received_at.
        """
        of_moment = None
        for frame in frames:
            header = judge(frame)
            is_malformed = header is None
            if header is None:
                header = _MALFORMED_HEADER
                rest = malformed.encode(frame)[1:]
            else:
                rest = frame.strip()[1:]
                if _LF in rest or _CR in rest:
                    rest = rest.translate(_LINE_BREAK_TO_SPACE)
            if of_moment is not self._of_moment:
                of_moment = self._now(connection_no)
            self._record_no = record_no = self._record_no + 1
            yield Record(of_moment % (record_no, rest), record_no, self._last_us, header, is_malformed)

    def control(self, type: str, detail: dict[str, Any], connection_no: int, product_id: str | None = None) -> Record:
        """Encode a record of our own; `type` begins with `pulse_`, `detail` holds what JSON can hold."""
        if not type.startswith(CONTROL_PREFIX):
            raise ValueError(f"control type {type!r} does not begin with {CONTROL_PREFIX}")
        members: dict[str, Any] = {"type": type}
        if product_id is not None:
            members["product_id"] = product_id
        members["detail"] = detail
        line = self._now(connection_no) % (self._record_no + 1, _encode_json(members)[1:])
        self._record_no += 1
        return Record(line, self._record_no, self._last_us, Header(type, product_id), malformed=False)

    def _now(self, connection_no: int) -> bytes:
        """Read the clock; what the lines of this moment share, to be formatted with record number and rest."""
        self._last_us = received_at_us = max(self._clock_ns() // 1000, self._last_us)
        fraction = received_at_us - self._second_us
        if fraction >= MICROSECONDS or connection_no != self._connection_no:
            second, fraction = divmod(received_at_us, MICROSECONDS)
            self._second_us = second * MICROSECONDS
            self._connection_no = connection_no
            self._of_second = line_template(second, self._session, connection_no)
        self._of_moment = self._of_second % fraction
        return self._of_moment
