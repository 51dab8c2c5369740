"""Reads a segment from its first byte to its last: validates every line, and gathers what the manifest says."""

import hashlib
import io
from collections import Counter
from typing import BinaryIO

import msgspec

from . import malformed
from .drift import Drift, DriftTally
from .envelope import EnvelopeChecker, LineInvalid, split
from .errors import SegmentInvalid
from .frames import CONTROL_PREFIX, MALFORMED, MAX_DEPTH, Header, judge
from .inspector import Inspector, Message
from .names import SegmentName
from .timestamps import are_canonical, format_us, parse_ns

CHUNK_BYTES = 1024 * 1024

# Below it a frame cannot be nested too deep, so that decoding it says all there is to say about an ASCII frame.
_QUICK_BYTES = 2 * MAX_DEPTH

#: Messages about one trade, with its time. A ticker may come in a later segment than the match of its trade.
_TRADES = frozenset({"match", "last_match", "rest_trade", "ticker"})


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid segment holds; fields as in the manifest."""

    records: int
    bytes: int
    first_record_no: int
    last_record_no: int
    sha256: str
    received_at_min: str
    received_at_max: str
    traded_at_min: str | None
    traded_at_max: str | None
    types: dict[str, int]
    product_ids: list[str]
    drift: list[Drift]


class _Type(msgspec.Struct):
    type: str


class _Control(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    detail: dict[str, msgspec.Raw]
    product_id: str | None = None


_decode_type = msgspec.json.Decoder(_Type).decode
_decode_control = msgspec.json.Decoder(_Control).decode


def scan(file: BinaryIO, name: SegmentName, inspector: Inspector | None = None) -> Summary | None:
    """Validate all lines of a segment that ends with a line feed; None when it has none.

    Messages are compared with the inspector's contracts; without one there is no drift. Needs memory for one chunk and
    the longest line. Raises SegmentInvalid at the first line that breaks the format.
    """
    scanner = _Scanner(name, inspector)
    digest = hashlib.sha256()
    rest = b""
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        lines = io.BytesIO(rest + chunk).readlines()  # a third of the time of split(b"\n")
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        scanner.add(lines)
    scanner.end(rest)
    return scanner.summary(digest.hexdigest())


class _Scanner:
    def __init__(self, name: SegmentName, inspector: Inspector | None) -> None:
        self._envelopes = EnvelopeChecker(name)
        self._inspector = inspector
        self._recognise = inspector.recognise if inspector else judge
        self._records = 0
        self._bytes = 0
        self._types: Counter[str] = Counter()
        self._product_ids: set[str | None] = set()
        self._traded_at = _TimeRange()
        self._drift = DriftTally()

    def add(self, lines: list[bytes]) -> None:
        recognise = self._recognise
        messages: list[Message] = []
        deviating: list[int] = []
        try:
            for frame in self._envelopes.frames(lines):
                message = recognise(frame) if len(frame) < _QUICK_BYTES and frame.isascii() else None
                if message is None:
                    message = judge(frame)
                    if message is None:
                        message = _own_header(frame)
                    else:
                        deviating.append(len(messages))
                messages.append(message)
        except LineInvalid as error:
            offset = self._bytes + sum(map(len, lines[: len(messages)]))
            raise SegmentInvalid(str(error), line_no=self._records + len(messages) + 1, offset=offset) from error
        self._tally(messages)
        if self._inspector:
            self._inspect(self._inspector, lines, messages, deviating)
        self._records += len(lines)
        self._bytes += sum(map(len, lines))

    def _tally(self, messages: list[Message]) -> None:
        self._types.update([message.type for message in messages])
        self._product_ids.update([message.product_id for message in messages])
        trades = [message for message in messages if message.type in _TRADES]
        self._traded_at.add([trade.time for trade in trades if trade.time is not None])

    def _inspect(self, inspector: Inspector, lines: list[bytes], messages: list[Message], deviating: list[int]) -> None:
        for index in sorted(deviating + inspector.misfits(messages)):
            _, frame = split(lines[index][:-1])
            kind = messages[index].type
            self._drift.add(kind, self._records + index + 1, inspector.deviations(kind, frame))

    def end(self, rest: bytes) -> None:
        if rest:
            raise SegmentInvalid("the last line is torn", line_no=self._records + 1, offset=self._bytes)

    def summary(self, sha256: str) -> Summary | None:
        first = self._envelopes.first
        if first is None:
            return None
        return Summary(
            records=self._records,
            bytes=self._bytes,
            first_record_no=first.record_no,
            last_record_no=self._envelopes.record_no,
            sha256=sha256,
            received_at_min=first.received_at,
            received_at_max=self._envelopes.received_at,
            traded_at_min=self._traded_at.min,
            traded_at_max=self._traded_at.max,
            types=dict(sorted(self._types.items())),
            product_ids=sorted(product_id for product_id in self._product_ids if product_id is not None),
            drift=self._drift.entries(),
        )


def _own_header(rest: bytes) -> Header:
    """The header of a malformed or control record, which are the only lines that no frame can make."""
    try:
        kind = _decode_type(rest).type
        if kind == MALFORMED:
            malformed.decode(rest)
            return Header(kind)
        if kind.startswith(CONTROL_PREFIX):
            return Header(kind, _decode_control(rest.decode()).product_id)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LineInvalid(f"after the envelope: {error}") from error
    raise LineInvalid("after the envelope: neither a message, nor a malformed record, nor a control record")


class _TimeRange:
    """Least and greatest of many exchange times; what is no time is left out."""

    def __init__(self) -> None:
        self._min_ns: int | None = None
        self._max_ns: int | None = None

    def add(self, texts: list[str]) -> None:
        if texts and are_canonical(texts):
            texts = [min(texts), max(texts)]
        for instant in map(parse_ns, texts):
            if instant is None:
                continue
            if self._min_ns is None or instant < self._min_ns:
                self._min_ns = instant
            if self._max_ns is None or instant > self._max_ns:
                self._max_ns = instant

    @property
    def min(self) -> str | None:
        return None if self._min_ns is None else format_us(self._min_ns // 1000)

    @property
    def max(self) -> str | None:
        return None if self._max_ns is None else format_us(-(-self._max_ns // 1000))
