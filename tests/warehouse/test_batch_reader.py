"""The upload stream of a batch: exact for any content, any block, any lines left out."""

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.warehouse.batch_reader import BatchReader, SegmentChanged
from include.warehouse.batches import Batch, BatchSegment

# What follows the envelope may hold anything but a raw line feed, the start of a line included.
RESTS = st.lists(
    st.sampled_from([b'"x","a":1}', b'\\n{"received_at":"y"}', b'{"received_at":', b"", "é€".encode(), b"z" * 300]),
    min_size=1,
    max_size=12,
)


@given(st.lists(RESTS, min_size=1, max_size=4), st.integers(1, 700), st.data())
def test_every_kept_line_gets_the_batch_id_and_nothing_else_changes(
    segments: list[list[bytes]], block_bytes: int, data: st.DataObject
) -> None:
    """The stream equals a line by line transformation, whatever the size of blocks and whichever lines are left out."""
    excluded = {
        f"segment-{number}": data.draw(st.sets(st.integers(1, len(rests)))) for number, rests in enumerate(segments)
    }
    with tempfile.TemporaryDirectory() as folder:
        batch, paths = _files(Path(folder), [_lines(rests) for rests in segments])
        reader = BatchReader(batch, paths, excluded=excluded, block_bytes=block_bytes)
        stream = b"".join(reader)
        by_line = b"".join(map(reader.spliced, reader.lines()))

    kept = [
        [rest for line_no, rest in enumerate(rests, 1) if line_no not in excluded[f"segment-{number}"]]
        for number, rests in enumerate(segments)
    ]
    assert stream == by_line == _expected(batch, kept)
    assert reader.records == stream.count(b"\n")


def test_members_without_a_column_go_into_extra_with_their_values_as_sent(tmp_path: Path) -> None:
    """Order, zeros and white space stay; lines without such members, and segments not named, stay as they are."""
    known, odd = b'"x","price":"1.10"}', b'"x","fee":{"a": 1.100},"price":"1.10","we\\"ird":[1, 2]}'
    batch, paths = _files(tmp_path, [_lines([known, odd]), _lines([odd])])

    reader = BatchReader(
        batch, paths, drifting={"segment-0"}, columns={"batch_id", "received_at", "price"}, block_bytes=30
    )

    start = b'{"batch_id":"%b","received_at":' % batch.batch_id.encode()
    assert b"".join(reader).split(b"\n") == [
        start + known,
        start + b'"x","price":"1.10","extra":{"fee":{"a": 1.100},"we\\"ird":[1, 2]}}',
        start + odd,
        b"",
    ]


def _flipped(content: bytes) -> bytes:
    return content.replace(b"1", b"2", 1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_flipped, id="one byte differs"),
        pytest.param(lambda content: content[:-1], id="a byte is missing"),
        pytest.param(lambda content: content + b"\n", id="a byte too many"),
        pytest.param(lambda content: b"", id="empty"),
    ],
)
def test_a_changed_segment_is_never_handed_out_whole(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """The upload breaks before its end, so no job can start over other bytes than the batch names."""
    batch, paths = _files(tmp_path, [_lines([b'"1"}'] * 3), _lines([b'"1"}'] * 3)])
    paths[1].write_bytes(change(paths[1].read_bytes()))
    seen: list[bytes] = []

    with pytest.raises(SegmentChanged, match="segment-1"):
        seen.extend(BatchReader(batch, paths, block_bytes=20))

    assert b"".join(seen).count(b"\n") < batch.records


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    """An operator learns which file the batch needs."""
    batch, paths = _files(tmp_path, [_lines([b'"1"}'])])
    paths[0].unlink()

    with pytest.raises(SegmentChanged, match="segment-0 is missing"):
        list(BatchReader(batch, paths))


def test_a_line_without_the_envelope_is_refused(tmp_path: Path) -> None:
    """Hash and size are right, the format is not: splicing would lose the line."""
    batch, paths = _files(tmp_path, [b'{"received_at":"1"}\n{ "received_at":"2"}\n'])

    with pytest.raises(SegmentChanged, match="does not begin with"):
        list(BatchReader(batch, paths))


def _lines(rests: list[bytes]) -> bytes:
    return b"".join(b'{"received_at":%b\n' % rest for rest in rests)


def _expected(batch: Batch, segments: list[list[bytes]]) -> bytes:
    """The naive way: line by line."""
    start = b'{"batch_id":"%b","received_at":' % batch.batch_id.encode()
    return b"".join(start + rest + b"\n" for rests in segments for rest in rests)


def _files(folder: Path, contents: list[bytes]) -> tuple[Batch, list[Path]]:
    segments = []
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"segment-{number}"
        path.write_bytes(content)
        paths.append(path)
        segments.append(_segment(path.name, content))
    return Batch(source="live", table_id="p.d.messages", segments=tuple(segments)), paths


def _segment(name: str, content: bytes) -> BatchSegment:
    records = content.count(b"\n")
    return BatchSegment(
        segment=name,
        streamer_id="streamer-1",
        session_id="20260707T225816Z-3f9a2c41",
        segment_no=1,
        first_record_no=1,
        last_record_no=records,
        records=records,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        received_at_min="2026-07-07T22:58:16.000000Z",
        received_at_max="2026-07-07T22:58:17.000000Z",
        traded_at_min=None,
        traded_at_max=None,
        sealed_at="2026-07-07T23:00:00.000000Z",
    )
