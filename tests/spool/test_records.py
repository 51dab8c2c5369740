"""Encoding of records, and giving back what was received."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from include.spool import Header, RecordEncoder, SegmentInvalid, Session, Spool, State, read_records

START_NS = 1_783_465_096_123_456_789


def received_at(line: bytes) -> str:
    return str(json.loads(line)["received_at"])


def test_records_are_numbered_from_one_whatever_their_kind(encoder: RecordEncoder) -> None:
    """Messages, malformed and control records share one row of numbers without holes."""
    records = [
        encoder.control("pulse_started", {}, 0),
        encoder.frame(b'{"type":"match"}', 1),
        encoder.frame(b"oops", 1),
        encoder.control("pulse_stopped", {}, 1),
    ]

    assert [record.record_no for record in records] == [1, 2, 3, 4]
    assert [json.loads(record.line)["record_no"] for record in records] == [1, 2, 3, 4]
    assert [json.loads(record.line)["connection_no"] for record in records] == [0, 1, 1, 1]


def test_received_at_never_goes_back(session: Session) -> None:
    """When the clock is set back, received_at stands still until the clock has caught up."""
    clock = iter([5_000_000_000, 4_999_999_000, 1_000, 5_000_000_999, 5_000_001_000, 4_000_000_000])
    encoder = RecordEncoder(session, lambda: next(clock))

    records = [encoder.frame(b'{"type":"a"}', 1) for _ in range(6)]

    assert [record.received_at_us for record in records] == [5_000_000] * 4 + [5_000_001] * 2
    assert [received_at(record.line)[17:] for record in records] == ["05.000000Z"] * 4 + ["05.000001Z"] * 2


def test_frames_read_at_once_were_received_at_once(session: Session) -> None:
    """They share one received_at; what is encoded after them has its own."""
    clock = iter([1_000_000, 2_000_000, 3_000_000])
    encoder = RecordEncoder(session, lambda: next(clock))

    lines = encoder.frames([b'{"type":"a"}', b"oops"], 7).splitlines()
    lines += encoder.control("pulse_gap", {}, 8).line.splitlines()
    lines += encoder.frames([b'{"type":"b"}'], 7).splitlines()

    assert [received_at(line)[20:] for line in lines] == ["001000Z", "001000Z", "002000Z", "003000Z"]
    assert [json.loads(line)["record_no"] for line in lines] == [1, 2, 3, 4]
    assert [json.loads(line)["connection_no"] for line in lines] == [7, 7, 8, 7]
    assert encoder.received_at_us == 3000


def test_no_frames_are_no_lines(encoder: RecordEncoder) -> None:
    """Nothing read takes no number."""
    assert encoder.frames([], 1) == b""
    assert encoder.record_no == 0


@pytest.mark.parametrize(
    ("now_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999_999_999, "1970-01-01T00:00:00.999999Z"),
        (START_NS, "2026-07-07T22:58:16.123456Z"),
        (1_798_761_599_999_999_999, "2026-12-31T23:59:59.999999Z"),
        (1_798_761_600_000_000_000, "2027-01-01T00:00:00.000000Z"),
        (1_709_164_800_000_001_000, "2024-02-29T00:00:00.000001Z"),
    ],
)
def test_received_at_is_the_clock_cut_to_microseconds(session: Session, now_ns: int, text: str) -> None:
    """received_at always has six decimals and is never later than the clock."""
    record = RecordEncoder(session, lambda: now_ns).frame(b'{"type":"a"}', 1)

    assert received_at(record.line) == text
    assert record.received_at_us == now_ns // 1000


def test_every_second_and_connection_has_its_own_envelope(session: Session) -> None:
    """What is shared by neighbouring lines is renewed when the second or the connection changes."""
    clock = iter([1_999_999_000, 2_000_000_000, 2_000_001_000, 62_000_000_000])
    encoder = RecordEncoder(session, lambda: next(clock))

    lines = [encoder.frame(b'{"type":"a"}', connection_no).line for connection_no in (0, 0, 1, 12)]

    assert [received_at(line)[14:] for line in lines] == [
        "00:01.999999Z",
        "00:02.000000Z",
        "00:02.000001Z",
        "01:02.000000Z",
    ]
    assert [json.loads(line)["connection_no"] for line in lines] == [0, 0, 1, 12]


@pytest.mark.parametrize(
    ("frame", "rest"),
    [
        (b' \t\r\n{"type":"a"}\n\r\t ', b'"type":"a"}\n'),
        (b'{ "type":"a"}', b' "type":"a"}\n'),
        (b'{\n"type":\r\n"a"\t}', b' "type":  "a"\t}\n'),
        (b'{"type":"a","x":"\\n"}', b'"type":"a","x":"\\n"}\n'),
    ],
)
def test_white_space_around_goes_and_raw_line_breaks_become_spaces(
    encoder: RecordEncoder, frame: bytes, rest: bytes
) -> None:
    """A message is one line; nothing but line breaks changes inside the frame."""
    line = encoder.frame(frame, 1).line

    assert line.split(b'"connection_no":1,', 1)[1] == rest


def test_control_records_carry_product_and_detail(encoder: RecordEncoder) -> None:
    """A control record names its product before its detail."""
    record = encoder.control("pulse_subscribed", {"granted": []}, 3, "BTC-USD")

    assert record.header == Header("pulse_subscribed", "BTC-USD")
    assert not record.malformed
    assert record.line.endswith(b'"type":"pulse_subscribed","product_id":"BTC-USD","detail":{"granted":[]}}\n')


def test_control_types_carry_our_prefix(encoder: RecordEncoder) -> None:
    """A control record cannot take the name of a message, and the attempt costs no number."""
    with pytest.raises(ValueError, match="pulse_"):
        encoder.control("match", {}, 1)

    assert encoder.frame(b'{"type":"a"}', 1).record_no == 1


def test_made_up_frames_come_back_byte_for_byte(
    spool: Spool,
    session: Session,
    encoder: RecordEncoder,
    matches: Callable[[int], list[bytes]],
    through_the_spool: Callable[..., None],
    frames_in: Callable[[Spool, State], list[bytes]],
) -> None:
    """Trades, malformed frames and bytes that are no text come back as they were, in their order."""
    frames = [*matches(2000), b"", b"\x00\xff\n", b"plain", b'{"type":"a","undecodable":1}', *matches(3)]

    through_the_spool(spool, session, encoder, frames)

    assert frames_in(spool, State.SEALED) == frames


@pytest.mark.parametrize("cut", [slice(1, None), slice(None, -1), slice(None, -2), slice(100, None), slice(0, 4)])
def test_reading_a_broken_line_names_it(tmp_path: Path, encoder: RecordEncoder, cut: slice) -> None:
    """A reader stops at a line that is no record, and says which."""
    line = encoder.frame(b'{"type":"a"}', 1).line
    path = tmp_path / "segment"
    path.write_bytes(line + line[cut])

    with pytest.raises(SegmentInvalid) as caught:
        list(read_records(path))

    assert (caught.value.line_no, caught.value.offset, caught.value.path) == (2, len(line), path)
