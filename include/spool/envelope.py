"""The envelope: the bytes that begin every line, written, read back and checked."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .names import SegmentName, Session
from .timestamps import format_second, is_canonical

_ENVELOPE = re.compile(
    rb'\{"received_at":"([0-9TZ:.-]{27})","streamer_id":"([a-z0-9-]{1,40})","session_id":"([0-9a-fTZ-]{25})",'
    rb'"record_no":([1-9][0-9]{0,18}),"connection_no":(0|[1-9][0-9]{0,18}),'
)


class Envelope(NamedTuple):
    """What the envelope of one line says; `received_at` as written, which sorts as text."""

    received_at: str
    streamer_id: str
    session_id: str
    record_no: int
    connection_no: int


class LineInvalid(Exception):
    """A line is not as specified; the message is the reason."""


def line_template(second: int, session: Session, connection_no: int) -> bytes:
    """A line but for what changes within a second. Formatted with the fraction in microseconds it is a template for
    that moment; formatted again, with the record number and the rest of the line, it is complete. `second` counts from
    the epoch."""
    return _until_fraction(second) + b"%06d" + (_after_fraction(session, connection_no) + b"%b\n").replace(b"%", b"%%")


def _until_fraction(second: int) -> bytes:
    return f'{{"received_at":"{format_second(second)}.'.encode()


def _after_fraction(session: Session, connection_no: int) -> bytes:
    return (
        f'Z","streamer_id":"{session.streamer_id}","session_id":"{session.session_id}",'
        f'"record_no":%d,"connection_no":{connection_no},'
    ).encode()


def split(line: bytes) -> tuple[Envelope, bytes]:
    """The envelope of a line, and the JSON object that the rest of the line is. Raises LineInvalid."""
    match = _ENVELOPE.match(line)
    if match is None:
        raise LineInvalid("the envelope is not as specified")
    received_at, streamer_id, session_id, record_no, connection_no = (group.decode() for group in match.groups())
    if not is_canonical(received_at):
        raise LineInvalid(f"received_at {received_at!r} is not a UTC time with six decimals")
    envelope = Envelope(received_at, streamer_id, session_id, int(record_no), int(connection_no))
    return envelope, b"{" + line[match.end() :]


_FRACTION = len(_until_fraction(0))
_AFTER_FRACTION = _FRACTION + 6


class EnvelopeChecker:
    """Checks the envelopes of one segment, line by line.

    Most lines differ from the one before only in the fraction and the record number. These are recognised by
    comparing bytes; only the others are taken apart.
    """

    def __init__(self, name: SegmentName) -> None:
        self._session = name.session
        self._until_fraction = b"\n"  # no line begins with it: the first one is taken apart
        self._fraction = b""
        self._after_fraction = b"%d"
        self.first: Envelope | None = None
        self.record_no = 0

    @property
    def received_at(self) -> str:
        """received_at of the last line."""
        return f"{self._until_fraction[-20:].decode()}{self._fraction.decode()}Z"

    def frames(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The JSON object after the envelope of each of the next lines, these with their line feeds.

        Raises LineInvalid at the first line whose envelope is wrong.
        """
        until_fraction, fraction, after_fraction = self._until_fraction, self._fraction, self._after_fraction
        record_no = self.record_no
        for line in lines:
            after = after_fraction % (record_no + 1)
            if line.startswith(after, _AFTER_FRACTION) and line.startswith(until_fraction):
                digits = line[_FRACTION:_AFTER_FRACTION]
                if digits >= fraction and digits.isdigit():
                    record_no += 1
                    fraction = digits
                    yield b"{" + line[_AFTER_FRACTION + len(after) : -1]
                    continue
            self.record_no, self._fraction = record_no, fraction
            yield self._frame_of_unusual(line[:-1])
            until_fraction, fraction, after_fraction = self._until_fraction, self._fraction, self._after_fraction
            record_no = self.record_no
        self.record_no, self._fraction = record_no, fraction

    def _frame_of_unusual(self, line: bytes) -> bytes:
        envelope, frame = split(line)
        if (envelope.streamer_id, envelope.session_id) != (self._session.streamer_id, self._session.session_id):
            raise LineInvalid(f"the line is of {envelope.streamer_id}, session {envelope.session_id}")
        if self.first is None:
            self.first = envelope
        elif envelope.record_no != self.record_no + 1:
            raise LineInvalid(f"record_no {envelope.record_no} follows {self.record_no}")
        elif envelope.received_at < self.received_at:
            raise LineInvalid(f"received_at goes back from {self.received_at} to {envelope.received_at}")
        self.record_no = envelope.record_no
        self._until_fraction = line[:_FRACTION]
        self._fraction = line[_FRACTION:_AFTER_FRACTION]
        self._after_fraction = _after_fraction(self._session, envelope.connection_no)
        return frame
