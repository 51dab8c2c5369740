"""Sealing: what is accepted, what is cut, what goes to quarantine."""

import hashlib
import io
import json
import stat
from collections.abc import Callable

import pytest

from include.coinbase.contract import Contracts
from include.spool import (
    RecordEncoder,
    SealKind,
    SegmentInvalid,
    SegmentName,
    SegmentWriter,
    Session,
    Spool,
    State,
    seal,
    seal_all,
)
from include.spool.inspector import Inspector
from include.spool.scanner import scan

Put = Callable[..., SegmentName]
HEAD = '"streamer_id":"streamer-1","session_id":"20260707T225816Z-3f9a2c41"'


def line(record_no: int, rest: str = '"type":"a"}', second: str = "16.000000", connection_no: object = 1) -> bytes:
    """A line with the parts that the tests change."""
    return (
        f'{{"received_at":"2026-07-07T22:58:{second}Z",{HEAD},"record_no":{record_no},'
        f'"connection_no":{connection_no},{rest}\n'
    ).encode()


def test_a_sealed_segment_is_described_by_its_manifest(spool: Spool, put_sealing: Put) -> None:
    """Counts, ranges, products and hash are those of the bytes; the first number need not be 1."""
    trade = '"type":"{}","product_id":"{}","time":"2026-07-07T22:58:{}Z"}}'
    content = b"".join(
        [
            line(41, '"type":"pulse_connected","detail":{"attempt":1}}', "16.000000"),
            line(42, trade.format("match", "ETH-USD", "15.5"), "16.000001"),
            line(43, trade.format("last_match", "BTC-USD", "15.4999999"), "16.000001"),
            line(44, trade.format("match", "BTC-USD", "16"), "17.999999", 2),
            line(45, trade.format("ticker", "XRP-USD", "17.000000001"), "18.000000", 2),
            line(46, '"type":"malformed","undecodable":"oops"}', "18.000000", 2),
        ]
    )

    outcome = seal(spool, name := put_sealing(content, segment_no=3), 0)

    manifest = spool.manifest(name, State.SEALED)
    assert outcome.kind is SealKind.SEALED
    assert outcome.manifest == manifest
    assert (manifest.segment, manifest.source, manifest.segment_no) == (name.file_name, "live", 3)
    assert (manifest.records, manifest.first_record_no, manifest.last_record_no) == (6, 41, 46)
    assert (manifest.bytes, manifest.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest.received_at_min == "2026-07-07T22:58:16.000000Z"
    assert manifest.received_at_max == "2026-07-07T22:58:18.000000Z"
    assert manifest.traded_at_min == "2026-07-07T22:58:15.499999Z"
    assert manifest.traded_at_max == "2026-07-07T22:58:17.000001Z"
    assert manifest.types == {
        "last_match": 1, "malformed": 1, "match": 2, "pulse_connected": 1, "ticker": 1,
    }  # fmt: skip
    assert manifest.product_ids == ["BTC-USD", "ETH-USD", "XRP-USD"]
    assert manifest.torn_bytes == 0


def test_a_sealed_segment_is_immutable(spool: Spool, put_sealing: Put) -> None:
    """The segment keeps its bytes and loses its write permission."""
    seal(spool, name := put_sealing(line(1)), 0)

    path = spool.path(name, State.SEALED)
    assert path.read_bytes() == line(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@pytest.mark.parametrize(
    "times",
    [
        ["2026-02-30T00:00:00Z"],
        ["2026-07-07T22:58:60Z"],
        ["2026-07-07T22:58:16.1234567890Z"],
        ["2026-07-07T22:58:16+00:00"],
        ["2026-07-07 22:58:16Z"],
        ["2026-07-07T22:58:16.Z"],
        ["", "never"],
        ["٢٠٢٦-07-07T22:58:16Z"],
    ],
)
def test_a_trade_without_a_usable_time_is_left_out_of_the_range(
    spool: Spool, put_sealing: Put, times: list[str]
) -> None:
    """Such a trade is counted by type; the range is that of the others, or null."""
    odd = [f'"type":"match","time":"{time}"}}' for time in times] + ['"type":"match"}', '"type":"match","time":5}']
    good = '"type":"match","time":"2026-07-07T22:58:16.250000Z"}'
    neighbour = '"type":"match","time":"2026-07-07T22:58:16.٩٩٩٩٩٩Z"}'

    for segment_no, rests in enumerate((odd, [good, *odd, neighbour]), start=1):
        content = b"".join(line(number, rest) for number, rest in enumerate(rests, start=1))
        manifest = seal(spool, put_sealing(content, segment_no), 0).manifest
        assert manifest is not None
        assert manifest.types == {"match": len(rests)}
        expected = None if segment_no == 1 else "2026-07-07T22:58:16.250000Z"
        assert (manifest.traded_at_min, manifest.traded_at_max) == (expected, expected)


BROKEN_LINES = [
    b"\n",
    b"oops\n",
    b"\xff" + line(2)[1:],
    line(2)[1:],
    b" " + line(2),
    line(2).replace(b'"received_at":', b'"received_at": '),
    line(2).replace(b"2026-07-07T", b"2026-07-07 "),
    line(2).replace(b"2026-07-07", b"2026-02-30"),
    line(2, second="16.00000"),
    line(2, second="16.0000000"),
    line(2, second="16.00000x"),
    line(2, second="61.000000"),
    line(2).replace(b"streamer-1", b"streamer-2"),
    line(2).replace(b"3f9a2c41", b"3f9a2c42"),
    line(2).replace(b'"record_no":2', b'"record_no":"2"'),
    line(2).replace(b'"record_no":2', b'"record_no":02'),
    line(2).replace(b'"record_no":2', b'"record_no":2.0'),
    line(2, connection_no="01"),
    line(2, connection_no="-1"),
    line(2, connection_no="null"),
    line(1),
    line(3),
    line(22),
    line(2, second="15.999999"),
    line(2, rest="}"),
    line(2, rest=""),
    line(2, rest='"type":"a"'),
    line(2, rest='"type":"a"} '[:-1] + "x"),
    line(2, rest='"type":"a","x":}'),
    line(2, rest='"type":"a","x":"\x01"}'),
    line(2, rest='"type":"a","record_no":2}'),
    line(2, rest='"type":"a","received_at":"2026-07-07T22:58:16.000000Z"}'),
    line(2, rest='"type":"a","detail":{}}'),
    line(2, rest='"x":1}'),
    line(2, rest='"type":1}'),
    line(2, rest='"type":"pulse_x"}'),
    line(2, rest='"type":"pulse_x","detail":[]}'),
    line(2, rest='"type":"pulse_x","detail":{},"record_no":2}'),
    line(2, rest='"type":"malformed"}'),
    line(2, rest='"type":"malformed","undecodable":1}'),
    line(2, rest='"type":"malformed","undecodable":"a","undecodable_encoding":"hex"}'),
    line(2, rest='"type":"malformed","undecodable":"YW?Jj","undecodable_encoding":"base64"}'),
    line(2, rest='"type":"malformed","undecodable":"a","record_no":2}'),
    line(2, rest='"type":"a","x":"X"}').replace(b"X", b"\xff"),
    line(2, rest='"type":"subscriptions","channels":["X"]}').replace(b"X", b"\xff"),
    line(2, rest='"type":"subscriptions","channels":' + "[" * 500 + "]" * 500 + "}"),
    line(2, rest='"type":"malformed","undecodable":"X"}').replace(b"X", b"\xff"),
    line(2, rest='"type":"pulse_x","detail":{"a":"X"}}').replace(b"X", b"\xff"),
]


@pytest.mark.parametrize("inspector", [None, Contracts.load()], ids=["alone", "with contracts"])
@pytest.mark.parametrize("broken", BROKEN_LINES)
def test_a_line_that_breaks_the_format_sends_the_segment_to_quarantine(
    spool: Spool, put_sealing: Put, broken: bytes, inspector: Inspector | None
) -> None:
    """The segment is kept whole, with line, offset and reason, and is not sealed."""
    content = line(1) + broken + line(3)

    outcome = seal(spool, name := put_sealing(content), 0, inspector=inspector)

    assert outcome.kind is SealKind.QUARANTINED
    assert outcome.reason
    path = spool.path(name, State.QUARANTINED)
    assert path.read_bytes() == content
    reason = json.loads(path.with_name(name.file_name + ".reason.json").read_bytes())
    assert (reason["segment"], reason["line_no"], reason["offset"]) == (name.file_name, 2, len(line(1)))
    assert reason["reason"]
    assert spool.segments(State.SEALING) == spool.segments(State.SEALED) == []


@pytest.mark.parametrize("second", ["16.000004", "15.999999", "15.000006"])
def test_received_at_may_stand_still_but_not_go_back(spool: Spool, put_sealing: Put, second: str) -> None:
    """Neither a smaller fraction nor an earlier second may follow; the same instant may."""
    good = line(1, second="16.000005") + line(2, second="16.000005")

    assert seal(spool, put_sealing(good, 1), 0).kind is SealKind.SEALED
    assert seal(spool, put_sealing(good + line(3, second=second), 2), 0).kind is SealKind.QUARANTINED


@pytest.mark.parametrize("broken", [line(0), line(1).replace(b"streamer-1", b"streamer-2"), b"\n"])
def test_the_first_line_is_validated_too(spool: Spool, put_sealing: Put, broken: bytes) -> None:
    """A segment may begin with any record number, but not with any line."""
    outcome = seal(spool, put_sealing(broken), 0)

    assert (outcome.kind, outcome.reason and outcome.reason[:16]) == (SealKind.QUARANTINED, "line 1 at byte 0")


def test_a_torn_segment_is_not_scanned() -> None:
    """The scanner itself refuses a last line without its line feed: hash and counts would not belong together."""
    name = SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", 1)

    with pytest.raises(SegmentInvalid, match="line 2"):
        scan(io.BytesIO(line(1) + line(2)[:-1]), name)


def test_lines_longer_than_a_chunk_are_sealed(spool: Spool, put_sealing: Put) -> None:
    """Chunk borders fall anywhere in a line, also several times."""
    content = b"".join(line(number, f'"type":"a","x":"{"x" * (number * 333_333)}"}}') for number in range(1, 9))

    manifest = seal(spool, put_sealing(content), 0).manifest

    assert manifest is not None
    assert (manifest.records, manifest.bytes) == (8, len(content))


LOST_BLOCK = b"\x00" * 100_000


@pytest.mark.parametrize(
    "torn",
    [
        *(b"x", b"{", line(2)[:-1], b"\xff"),
        *(LOST_BLOCK, LOST_BLOCK + b"\n", line(2)[:50] + LOST_BLOCK + line(3), line(2)[:-2] + b"\x00\n" + line(3)),
    ],
)
def test_a_torn_tail_is_kept_and_cut(spool: Spool, put_sealing: Put, torn: bytes) -> None:
    """What follows the last line feed goes to quarantine with a reason; the rest is sealed. So does a line in which a
    power cut lost bytes, which then read as zeros, with all behind it."""
    outcome = seal(spool, name := put_sealing(line(1) + torn), 0)

    assert outcome.manifest is not None
    assert (outcome.manifest.records, outcome.manifest.torn_bytes) == (1, len(torn))
    assert spool.path(name, State.SEALED).read_bytes() == line(1)
    kept = spool.folder(State.QUARANTINED) / name.torn_name
    assert kept.read_bytes() == torn
    assert json.loads(kept.with_name(kept.name + ".reason.json").read_bytes())["offset"] == len(line(1))


@pytest.mark.parametrize("torn", [b"", line(1)[:-1]])
def test_a_segment_without_a_record_is_deleted(spool: Spool, put_sealing: Put, torn: bytes) -> None:
    """An empty segment goes; a torn line that was all it held is kept."""
    outcome = seal(spool, name := put_sealing(torn), 0)

    assert outcome.kind is SealKind.EMPTY
    assert [spool.segments(state) for state in State] == [[]] * len(State)
    assert (spool.folder(State.QUARANTINED) / name.torn_name).exists() == bool(torn)


def test_what_is_not_there_is_gone(spool: Spool, put_sealing: Put) -> None:
    """A segment that was sealed before is not an error."""
    name = put_sealing(line(1))
    seal(spool, name, 0)

    assert seal(spool, name, 0).kind is SealKind.GONE
    assert spool.segments(State.SEALED) == [name]


def test_sealing_all_takes_what_is_active_and_what_waits(
    spool: Spool, session: Session, encoder: RecordEncoder, put_sealing: Put
) -> None:
    """A dead writer's segment is taken over at once, a living writer's is left when it does not let go in time."""
    dead = SegmentName(session.streamer_id, session.session_id, 2)
    waiting = put_sealing(line(1))
    spool.path(dead, State.ACTIVE).write_bytes(line(2))
    writer = SegmentWriter(spool, Session("streamer-2", session.session_id), 10_000, 60)
    writer.write(encoder.frame(b'{"type":"a"}', 1).line)
    living = writer.current

    report = seal_all(spool, timeout_seconds=0)

    assert report.rotated == [dead, living]
    assert [outcome.name for outcome in report.of(SealKind.SEALED)] == [waiting, dead]
    assert [outcome.name for outcome in report.of(SealKind.BUSY)] == [living]
    assert spool.segments(State.SEALING) == [living]
    writer.close()


def test_the_sealer_waits_for_a_writer_to_let_go(
    spool: Spool, session: Session, encoder: RecordEncoder, start_process: Callable[..., object]
) -> None:
    """Within its timeout the sealer gets the lock as soon as the writer has closed the segment."""

    def write_until_rotated() -> None:
        writer = SegmentWriter(spool, session, 10_000, 60)
        writer.write(encoder.frame(b'{"type":"a"}', 1).line)
        while writer.check() is None:
            writer.sync()

    start_process(write_until_rotated)
    report = seal_all(spool, timeout_seconds=30)
    while not report.outcomes:
        report = seal_all(spool, timeout_seconds=30)

    assert [outcome.kind for outcome in report.outcomes] == [SealKind.SEALED]
