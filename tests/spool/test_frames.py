"""Which frames are messages and which are malformed."""

import json
from collections.abc import Callable

import pytest

from include.spool import Header, RecordEncoder, Session
from include.spool.frames import MAX_DEPTH, RESERVED

RESERVED_NAMES = [
    "received_at", "streamer_id", "session_id", "record_no", "connection_no",
    "undecodable", "undecodable_encoding", "detail", "batch_id", "extra",
]  # fmt: skip


def nested(depth: int, open_: bytes = b"[", close: bytes = b"]", core: bytes = b"") -> bytes:
    """A frame of the given depth; the frame's own braces are the first level."""
    return b'{"type":"a","x":' + open_ * (depth - 1) + core + close * (depth - 1) + b"}"


NOT_ONE_OBJECT = [
    b"", b" ", b"null", b"1", b'"a"', b"[]", b'[{"type":"a"}]', b"{", b'{"type":"a"', b'{"type":"a"}}',
    b'{"type":"a"}{"type":"a"}', b'{"type":"a"},', b'{"type":"a"}\x0b', b'\x00{"type":"a"}',
    b'\xef\xbb\xbf{"type":"a"}', b"{'type':'a'}", b'{type:"a"}', b"subscribe",
]  # fmt: skip
NOT_JSON_INSIDE = [
    b'{"type":"a",}', b'{"type":"a","x":[1,]}', b'{"type":"a","x":{"a":1,}}', b'{"type":"a","x":{,}}',
    b'{"type":"a","x"}', b'{"type":"a","x":}', b'{"type":"a" "x":1}', b'{"type":"a","x":1 2}', b'{"type":"a",1:2}',
    b'{"type":"a","x":01}', b'{"type":"a","x":-01}', b'{"type":"a","x":1.}', b'{"type":"a","x":.5}',
    b'{"type":"a","x":+5}', b'{"type":"a","x":-}', b'{"type":"a","x":1e}', b'{"type":"a","x":1.5e+}',
    b'{"type":"a","x":0x1}', b'{"type":"a","x":NaN}', b'{"type":"a","x":Infinity}', b'{"type":"a","x":tru}',
    b'{"type":"a","x":True}', b'{"type":"a","x":"\\q"}', b'{"type":"a","x":"\\u12"}', b'{"type":"a","x":"\\u12g4"}',
    b'{"type":"a","x":"\x01"}', b'{"type":"a","x":"\n"}', b'{"type":"a","x":"\r"}', b'{"type":"a","x":"\t"}',
    b'{"type":"a","x":"\x00"}', b'{"type":"a","x\n":1}', b'{"type":"a","x\x1f":1}', b'{"type":"a","x\\q":1}',
    b'{"type":"a","x":{"y":["\x1f"]}}', b'{"type":"a\x01"}', b'{"type":"a","x":1//comment\n}',
    # A surrogate without its other half stands for no character: not encodable in UTF-8.
    b'{"type":"a","x":"\\ud800"}', b'{"type":"a","x":"\\ud800 and more"}', b'{"type":"a","x":"\\udc00 and more"}',
    b'{"type":"a","x":"\\ud800\\u0041"}', b'{"type":"a","\\udc00 and more":1}',
]  # fmt: skip
NOT_UTF8 = [
    b"\xff", b'{"type":"a","x":"\xff"}', b'{"type":"\xff"}', b'{"type":"a","\xff":1}', b'{"type":"a","x":{"y":"\xc3"}}',
    b'{"type":"a","x":"\xed\xa0\x80"}', b'{"type":"a","x":"\xc0\x80"}', b'{"type":"a","x":"\xf4\x90\x80\x80"}',
    '{"type":"a"}'.encode("utf-16"),
]  # fmt: skip
UNUSABLE_TYPES = [
    b"{}", b' { "price" : "1" } ', b'{"type":null}', b'{"type":1}', b'{"type":["match"]}', b'{"type":{}}',
    b'{"type":"malformed"}', b'{"type":"pulse_"}', b'{"type":"pulse_stopped"}', b'{"type":"\\u0070ulse_stopped"}',
    b'{"type":"a","type":"pulse_x"}', b'{"type":"pulse_x","trade_id":"1"}', b'{"type":"malformed","trade_id":"1"}',
    b'{"\\u0074ype":"malformed"}', b'{"Type":"a"}', b'{"x":{"type":"a"}}',
]  # fmt: skip
MESSAGES = [
    b'{"type":""}', b'{"type":"pulse"}', b'{"type":"Malformed"}', b'{"type":"malformed2"}', b'{"t":1,"type":"a"}',
    b'{"type":"a","x":{"record_no":1,"detail":{}}}', b'{"type":"a","x":"record_no"}', b'{"type":"a","records_no":1}',
    b'{"type":"a","x":-0,"y":1e999,"z":-1.5E-3,"n":123456789012345678901234567890.00}', b'{"type":"a","":""}',
    b'{"type":"a","x":"\\ud83d\\ude00 \\/ \\b\\f\\n\\r\\t \\" \\\\ \\u0000"}', b'{"type":"a","x":"\x7f"}',
    '{"type":"a","x":"é \u2028 😀","é":1}'.encode(), b'{"type":"a","x":1,"x":2}', b'{"type":"b","type":"a"}',
    b'{"type":"a","x":"[[[[{{{{"}', b'{ "type" : "a" , "x" : [ ] }', b'{"type":"a","sequence":null}',
]  # fmt: skip


@pytest.mark.parametrize("frame", NOT_ONE_OBJECT + NOT_JSON_INSIDE + NOT_UTF8 + UNUSABLE_TYPES)
def test_a_frame_that_breaks_a_rule_is_malformed(encoder: RecordEncoder, frame: bytes) -> None:
    """A frame that is not one valid JSON object with a usable type is kept as malformed."""
    record = encoder.frame(frame, 1)

    assert record.malformed
    assert record.header == Header("malformed")
    assert json.loads(record.line)["type"] == "malformed"


@pytest.mark.parametrize("value", [b"1", b"0", b'""', b"null", b"[]", b"{}", b"true", b"1.5"])
@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_a_reserved_member_makes_a_frame_malformed(encoder: RecordEncoder, name: str, value: bytes) -> None:
    """No frame can bring a member that is ours, whatever its value, its place, and however its name is escaped."""
    escaped = "".join(f"\\u{ord(char):04x}" for char in name)
    for member in (name.encode(), escaped.encode()):
        assert encoder.frame(b'{"type":"a","%b":%b}' % (member, value), 1).malformed
        assert encoder.frame(b'{"%b":%b,"type":"a","trade_id":"odd"}' % (member, value), 1).malformed


def test_the_reserved_members_are_those_specified() -> None:
    """The list in the code is the list in the specification."""
    assert sorted(RESERVED) == sorted(RESERVED_NAMES)


@pytest.mark.parametrize("frame", MESSAGES)
def test_unusual_but_valid_frames_are_messages(encoder: RecordEncoder, frame: bytes) -> None:
    """Whatever is valid JSON with a usable type is spliced as sent."""
    record = encoder.frame(frame, 1)

    assert not record.malformed
    assert record.line.endswith(frame[1:] + b"\n")


@pytest.mark.parametrize(
    "deep",
    [
        nested,
        lambda depth: nested(depth, b'{"a":', b"}", b"1"),
        lambda depth: nested(depth, b'["]][\\"]",', b"]", b"0"),
    ],
)
def test_depth_is_limited(encoder: RecordEncoder, deep: Callable[[int], bytes]) -> None:
    """500 levels are accepted, one more is malformed; brackets inside strings do not count."""
    assert not encoder.frame(deep(MAX_DEPTH), 1).malformed
    assert encoder.frame(deep(MAX_DEPTH + 1), 1).malformed


def test_width_is_not_depth(encoder: RecordEncoder) -> None:
    """A long order book is not taken for a deep one."""
    book = b",".join([b'["63077.01","0.1"]'] * 10_000)

    assert not encoder.frame(b'{"type":"snapshot","asks":[' + book + b'],"bids":[' + book + b"]}", 1).malformed


@pytest.mark.parametrize("depth", [10_000, 200_000])
@pytest.mark.parametrize("open_", [b"[", b'{"a":'])
def test_bottomless_frames_do_no_harm(encoder: RecordEncoder, depth: int, open_: bytes) -> None:
    """Nesting that would exhaust a parser's stack is malformed, closed or not."""
    assert encoder.frame(b'{"type":"a","x":' + open_ * depth, 1).malformed
    assert encoder.frame(open_ * depth, 1).malformed
    assert encoder.frame(b'{"type":"a","x":"' + open_.replace(b'"', b"") * depth, 1).malformed


def test_the_header_holds_the_known_members(encoder: RecordEncoder) -> None:
    """The header gives each known member as sent."""
    frame = (
        b'{"type":"heartbeat","last_trade_id":20,"product_id":"BTC-USD","sequence":90,"trade_id":7,'
        b'"time":"2014-11-07T08:19:28.464459Z","price":"1"}'
    )

    header = encoder.frame(frame, 1).header

    assert (header.type, header.product_id, header.time) == ("heartbeat", "BTC-USD", "2014-11-07T08:19:28.464459Z")
    assert (header.trade_id, header.last_trade_id, header.sequence) == (7, 20, 90)


@pytest.mark.parametrize(
    "odd", [b'"7"', b"7.5", b"1e400", b"9" * 5000, b"[]", b"{}", b"true", b"null"], ids=lambda odd: odd[:6].decode()
)
def test_a_known_member_of_another_kind_is_absent_from_the_header(encoder: RecordEncoder, odd: bytes) -> None:
    """A trade id that is no integer does not make a message malformed; the header leaves it out, and only it."""
    record = encoder.frame(b'{"type":"match","trade_id":%b,"sequence":3,"product_id":"BTC-USD"}' % odd, 1)

    assert not record.malformed
    assert (record.header.type, record.header.trade_id, record.header.sequence) == ("match", None, 3)
    assert record.header.product_id == "BTC-USD"


def test_the_last_of_repeated_members_counts(session: Session, encoder: RecordEncoder) -> None:
    """A repeated member stays as sent, and the header gives its last value."""
    record = encoder.frame(b'{"type":"a","type":"b","trade_id":1,"trade_id":2}', 1)

    assert (record.header.type, record.header.trade_id) == ("b", 2)
    assert record.line.endswith(b'"type":"a","type":"b","trade_id":1,"trade_id":2}\n')
