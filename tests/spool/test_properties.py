"""Properties of encoding and sealing, for any bytes."""

import io
import itertools
import json
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from include.coinbase.contract import Contracts, load_contracts
from include.spool import (
    MALFORMED,
    Header,
    RecordEncoder,
    SealKind,
    SegmentName,
    Session,
    Spool,
    State,
    judge_all,
    read_records,
    seal,
)
from include.spool.scanner import scan

CONTRACTS = Contracts.load()
SESSION = Session("streamer-1", "20260707T225816Z-3f9a2c41")

# One spool serves all examples of a test.
disk = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])

keys = st.sampled_from(["type", "product_id", "time", "trade_id", "record_no", "detail", "extra", "é"]) | st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
types = st.sampled_from(["match", "last_match", "ticker", "pulse_started", "malformed", ""]) | st.text() | values
objects = st.builds(
    lambda kind, members, indent, ascii_: json.dumps({"type": kind} | members, indent=indent, ensure_ascii=ascii_),
    types,
    st.dictionaries(keys, values, max_size=6),
    st.none() | st.integers(0, 2),
    st.booleans(),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
damaged = st.builds(
    lambda frame, at, patch: frame[: at % (len(frame) + 1)] + patch + frame[at % (len(frame) + 1) + 1 :],
    objects,
    st.integers(0),
    st.binary(max_size=3),
)
frames = objects | damaged | st.binary() | st.text().map(str.encode)


def refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def strict_json(line: bytes) -> dict[str, object]:
    """What an independent parser reads; NaN and its relatives are refused."""
    value = json.loads(line.decode(), parse_constant=refuse)
    assert isinstance(value, dict)
    return value


class Sealed(NamedTuple):
    """What became of a segment."""

    kind: SealKind
    frames: list[bytes | None]
    torn: bytes


@pytest.fixture
def sealed(spool: Spool) -> Callable[[bytes], Sealed]:
    """Seals bytes as a segment; one spool serves all examples of a test, each as another segment."""
    segment_no = itertools.count(1)

    def seal_bytes(content: bytes) -> Sealed:
        name = SegmentName(SESSION.streamer_id, SESSION.session_id, next(segment_no))
        spool.path(name, State.SEALING).write_bytes(content)
        kind = seal(spool, name, timeout_seconds=0).kind
        records = read_records(spool.path(name, State.SEALED)) if kind is SealKind.SEALED else iter(())
        torn = spool.folder(State.QUARANTINED) / name.torn_name
        return Sealed(kind, [record.frame for record in records], torn.read_bytes() if torn.exists() else b"")

    return seal_bytes


@given(
    received=st.lists(frames, min_size=1, max_size=5), clock_us=st.lists(st.integers(0, 2**51), min_size=5, max_size=5)
)
@example(received=[b'{"type":"a","x":1e999}', b'{"type":"a","type":"b"}', b"\xed\xa0\x80"], clock_us=[5, 4, 3, 2, 1])
@disk
def test_any_frames_become_lines_that_seal_and_give_them_back(
    sealed: Callable[[bytes], Sealed], received: list[bytes], clock_us: list[int]
) -> None:
    """Whatever comes, the line is strict JSON, the numbers have no hole, and the frame can be recovered."""
    clock = iter(clock_us)
    encoder = RecordEncoder(SESSION, lambda: next(clock) * 1000)
    records = [encoder.frame(frame, 1) for frame in received]

    last = ""
    for number, record in enumerate(records, start=1):
        value = strict_json(record.line)
        assert record.line.count(b"\n") == 1
        assert (value["record_no"], value["session_id"]) == (number, SESSION.session_id)
        assert value["type"] == record.header.type
        assert str(value["received_at"]) >= last
        last = str(value["received_at"])

    kind, recovered, torn = sealed(b"".join(record.line for record in records))
    assert (kind, torn) == (SealKind.SEALED, b"")
    for record, sent, found in zip(records, received, recovered, strict=True):
        expected = sent if record.malformed else sent.strip(b" \t\r\n").replace(b"\n", b" ").replace(b"\r", b" ")
        assert found == expected


# Ordinary frames, among which few of the others may hide.
ordinary = st.integers(0, 99).map(lambda number: b'{"type":"match","product_id":"BTC-USD","trade_id":%d}' % number)
padded = st.builds(
    lambda before, frame, after: before + frame + after,
    st.sampled_from([b"", b" ", b"\n", b"\r\n", b"\t"]),
    ordinary,
    st.sampled_from([b"", b" ", b"\n", b"\r", b"{}", b'{"type":"a"}', b"\n" * 3]),
)


@given(
    received=st.lists(ordinary | ordinary | padded | frames, max_size=12),
    clock_us=st.integers(0, 2**51),
    connection_no=st.integers(0, 3),
)
@example(received=[b'{"type":"a"', b',"x":1}'], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a"}{"type":"b"}', b""], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a"}\n{"type":"b"}', b"", b'{"type":"c"}'], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a","x":[', b"1]}", b'{"type":"a"} {"type":"b"}'], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a"}', b'{"type":"pulse_gap"}', b'{"type":"malformed"}'], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a"}', b'{"type":"a","detail":1}'], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a"}', b'{"type":"a","x":' + b"[" * 501 + b"]" * 501 + b"}"], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a"}', b'{"type":"a","x":"\xff"}'], clock_us=0, connection_no=1)
@example(received=[b'{"type":"a","x":\r1}', b'{"type":"a"}'], clock_us=0, connection_no=1)
def test_frames_at_once_are_recorded_as_one_by_one(received: list[bytes], clock_us: int, connection_no: int) -> None:
    """However frames come together, each is judged by itself, and its line is the same as if it had come alone."""
    at_once, one_by_one = (RecordEncoder(SESSION, lambda: clock_us * 1000) for _ in range(2))
    records = [one_by_one.frame(frame, connection_no) for frame in received]

    assert [header or Header(MALFORMED) for header in judge_all(received)] == [record.header for record in records]
    assert [header is None for header in judge_all(received)] == [record.malformed for record in records]
    assert at_once.frames(received, connection_no) == b"".join(record.line for record in records)
    assert at_once.record_no == len(received)


@given(received=st.lists(frames, min_size=1, max_size=4), data=st.data())
@disk
def test_a_cut_anywhere_loses_only_the_line_it_is_in(
    sealed: Callable[[bytes], Sealed], received: list[bytes], data: st.DataObject
) -> None:
    """A segment cut at any byte gives back exactly its whole lines, and keeps the rest of the torn one."""
    encoder = RecordEncoder(SESSION, lambda: 0)
    lines = [encoder.frame(frame, 1).line for frame in received]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    whole = content.count(b"\n", 0, cut)

    kind, recovered, torn = sealed(content[:cut])

    assert kind is (SealKind.SEALED if whole else SealKind.EMPTY)
    assert len(recovered) == whole
    assert b"".join(lines[:whole]) + torn == content[:cut]


contract_values = st.sampled_from(
    ["1.5", "2026-07-07T22:58:16.5Z", "6b380eba-fd1d-43a8-91a0-fdb06e6ce87f", "x", "é", 1, 2**64, [], {}, None]
)
near_contracts = st.builds(
    lambda kind, members, ascii_: json.dumps({"type": kind} | members, ensure_ascii=ascii_).encode(),
    st.sampled_from([contract.type for contract in load_contracts()]),
    st.dictionaries(
        st.sampled_from([field.name for contract in load_contracts() for field in contract.fields] + ["detail", "x"]),
        contract_values,
    ),
    st.booleans(),
)
contract_keepers = st.sampled_from(
    [
        b'{"type":"heartbeat","last_trade_id":1,"product_id":"A-B","sequence":1,"time":"2026-07-07T22:58:16.5Z"}',
        b'{"type":"l2update","product_id":"A-B","changes":[],"time":"2026-07-07T22:58:16.5Z","type":"l2update"}',
        b'{"type":"error","message":"a","reason":"","message":"b"}',
    ]
)


@given(received=st.lists(frames | near_contracts | contract_keepers, min_size=1, max_size=8))
@disk
def test_contracts_change_nothing_but_the_drift(received: list[bytes]) -> None:
    """Whatever comes, comparing it with contracts finds the same records, types, products and times."""
    encoder = RecordEncoder(SESSION, lambda: 0)
    content = b"".join(encoder.frame(frame, 1).line for frame in received)
    name = SegmentName(SESSION.streamer_id, SESSION.session_id, 1)

    alone = scan(io.BytesIO(content), name)
    compared = scan(io.BytesIO(content), name, CONTRACTS)

    assert alone is not None
    assert compared is not None
    assert msgspec.structs.replace(compared, drift=[]) == alone


@given(patch=st.binary(min_size=1, max_size=3), data=st.data())
@disk
def test_no_damage_to_an_envelope_is_sealed(
    sealed: Callable[[bytes], Sealed], patch: bytes, data: st.DataObject
) -> None:
    """A line whose envelope was altered anywhere, but for a later time or another connection, is not sealed: the
    segment goes to quarantine, or, where a byte reads as zero, ends before the line."""
    encoder = RecordEncoder(SESSION, lambda: 0)
    lines = [encoder.frame(b'{"type":"a"}', 1).line for _ in range(3)]
    envelope = lines[1].index(b'"received_at":"') + 15
    part = data.draw(st.sampled_from([(0, envelope), (envelope + 26, lines[1].index(b'"connection_no":') + 16)]))
    at = data.draw(st.integers(part[0], part[1] - len(patch)))
    altered = lines[1][:at] + patch + lines[1][at + len(patch) :]

    kind, recovered, _ = sealed(lines[0] + altered + lines[2])

    assert (len(recovered) == 3) == (altered == lines[1])
    assert (kind is SealKind.SEALED) == (altered == lines[1] or b"\0" in patch)


@pytest.mark.parametrize("step", range(3))
def test_every_cut_of_a_small_segment(
    sealed: Callable[[bytes], Sealed], step: int, encoder: RecordEncoder, matches: Callable[[int], list[bytes]]
) -> None:
    """Around each line feed, every single byte is tried."""
    lines = [encoder.frame(frame, 1).line for frame in matches(3)]
    content = b"".join(lines)
    border = len(b"".join(lines[: step + 1]))

    for cut in range(border - 2, min(border + 3, len(content) + 1)):
        _, recovered, torn = sealed(content[:cut])
        whole = content.count(b"\n", 0, cut)
        assert recovered == matches(whole)
        assert torn == content[len(b"".join(lines[:whole])) : cut]
