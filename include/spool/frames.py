"""Judging a received frame: may its members be spliced into a line, and what do they say?

msgspec reads the whole frame but stores only the members of `Header`. While it skips the others it checks the
grammar, control characters, escapes (lone surrogates are refused) and numbers, but neither UTF-8 nor depth; these
two are checked here. tests/spool/test_frames.py pins both lists, so that a new msgspec cannot change them unseen.

A member name that occurs twice is valid JSON and stays as sent; the last one counts.
"""

import contextlib
import itertools
import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

MAX_DEPTH = 500
"""Deeper nesting is malformed: BigQuery's JSON type ends at 500 levels, and parsers' own limits are not far above."""

MALFORMED: Final = "malformed"
CONTROL_PREFIX = "pulse_"


class Header(msgspec.Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """The members of a frame that decide what happens next; None where absent or not of the expected kind."""

    type: str
    product_id: str | None = None
    trade_id: int | None = None
    last_trade_id: int | None = None
    sequence: int | None = None
    time: str | None = None


# No value is both >= 1 and <= 0: a frame that has such a member at all fails to decode. This finds reserved names
# (also escaped ones) in the one pass that is needed anyhow.
_Forbidden = Annotated[int, Meta(ge=1, le=0)]


class _MessageHeader(Header, frozen=True, gc=False):
    received_at: _Forbidden = 0
    streamer_id: _Forbidden = 0
    session_id: _Forbidden = 0
    record_no: _Forbidden = 0
    connection_no: _Forbidden = 0
    undecodable: _Forbidden = 0
    undecodable_encoding: _Forbidden = 0
    detail: _Forbidden = 0
    batch_id: _Forbidden = 0
    extra: _Forbidden = 0


HEADER_FIELDS = Header.__struct_fields__
RESERVED = frozenset(_MessageHeader.__struct_fields__) - frozenset(HEADER_FIELDS)

_decode_header = msgspec.json.Decoder(_MessageHeader).decode
_type_of = attrgetter("type")
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_field_decoders = {field.name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(Header)}

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# A bracket becomes one step down or up as a signed byte; all else is left out.
_BRACKET_TO_STEP = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[{]}")


def judge(frame: bytes) -> Header | None:
    """The header of a frame that can be stored as a message; None when it is malformed as specified."""
    try:
        if not frame.isascii():
            frame.decode()
        if len(frame) >= 2 * MAX_DEPTH and _is_too_deep(frame):
            return None
        header = _decode_header(frame)
    except msgspec.ValidationError:
        # Valid so far, but not of the usual shape: a reserved name, or a known member of another type.
        return _judge_unusual(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if _is_ours(header.type) else header


def judge_all(frames: Sequence[bytes]) -> Sequence[Header | None]:
    """The same for each of several frames. When all are of the usual kind, as nearly always, it costs less."""
    if len(frames) > 1 and all(map(bytes.isascii, frames)) and max(map(len, frames)) < 2 * MAX_DEPTH:
        with contextlib.suppress(msgspec.DecodeError):
            headers = [*map(_decode_header, frames)]
            if not any(map(_is_ours, set(map(_type_of, headers)))):
                return headers
    return [*map(judge, frames)]


def _is_ours(type_: str) -> bool:
    """Types that no message may have."""
    return type_.startswith(CONTROL_PREFIX) or type_ == MALFORMED


def _judge_unusual(frame: bytes) -> Header | None:
    try:
        members = _decode_members(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not RESERVED.isdisjoint(members):
        return None
    known = {name: _value(name, members[name]) for name in HEADER_FIELDS if name in members}
    kind = known.get("type")
    if not isinstance(kind, str) or _is_ours(kind):
        return None
    return Header(**known)


def _value(name: str, raw: msgspec.Raw) -> Any:
    try:
        return _field_decoders[name].decode(raw)
    except msgspec.ValidationError:
        return None


def _is_too_deep(frame: bytes) -> bool:
    if frame.count(b"[") + frame.count(b"{") <= MAX_DEPTH:
        return False
    steps = _STRING.sub(b"", frame).translate(_BRACKET_TO_STEP, _NO_BRACKETS)
    return max(itertools.accumulate(memoryview(steps).cast("b")), default=0) > MAX_DEPTH
