"""Records: what one line of a segment holds, and how it is encoded."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from . import malformed
from .envelope import line_template
from .frames import CONTROL_PREFIX, MALFORMED, Header, judge, judge_all
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

    @property
    def record_no(self) -> int:
        """The last record number; 0 before the first."""
        return self._record_no

    @property
    def received_at_us(self) -> int:
        """received_at of the last record, in microseconds since the epoch; 0 before the first."""
        return self._last_us

    def frame(self, frame: bytes, connection_no: int) -> Record:
        """Encode one frame."""
        header = judge(frame)
        line = self.frames((frame,), connection_no, (header,))
        return Record(line, self._record_no, self._last_us, header or _MALFORMED_HEADER, malformed=header is None)

    def frames(
        self, frames: Sequence[bytes], connection_no: int, headers: Sequence[Header | None] | None = None
    ) -> bytes:
        """The lines of frames as received: messages, and malformed records that keep them whole.

        They were read from the socket at once, so they share received_at. `headers` are those that judge_all() gives.
        """
        of_moment, first = self._now(connection_no), self._record_no + 1
        self._record_no += len(frames)
        rests = [*map(_after_brace, frames, judge_all(frames) if headers is None else headers)]
        if len(rests) == 1:
            return of_moment % (first, rests[0])
        # One call, whatever their number.
        arguments: list[int | bytes] = [0] * (2 * len(rests))
        arguments[::2] = range(first, first + len(rests))
        arguments[1::2] = rests
        return of_moment * len(rests) % tuple(arguments)

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
        return self._of_second % fraction


def _after_brace(frame: bytes, header: Header | None) -> bytes:
    """What follows on the envelope: all of a message, or of what a malformed frame is kept in, but for its first byte.

    Within a message a line break is white space, for strings hold none unescaped.
    """
    if header is None:
        return malformed.encode(frame)[1:]
    rest = frame.strip()[1:]
    return rest.translate(_LINE_BREAK_TO_SPACE) if _LF in rest or _CR in rest else rest
