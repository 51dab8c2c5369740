"""What frames become, and in which order, however many of them one read brought."""

import itertools
import json
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from include.spool import Header, RecordEncoder, Session
from streamer.gaps import GapTracker
from streamer.recorder import Recorder
from streamer.traffic import Count, Traffic
from streamer.writer import DiskWriter
from tests.streamer.support.exchange import heartbeat_frame, match_frame

SESSION = Session("streamer-1", "20260707T225816Z-3f9a2c41")
PRODUCTS = ("BTC-USD", "ETH-USD")

#: No gap shows because time passed: that depends on how long the test takes.
GRACE_SECONDS = 3600.0

trades = st.builds(match_frame, st.integers(1, 12), st.sampled_from(PRODUCTS))
heartbeats = st.builds(heartbeat_frame, st.integers(1, 12), st.sampled_from(PRODUCTS))
others = st.sampled_from(
    [b"oops", b'{"type":"error","message":"m"}', b'{"type":"ticker","product_id":"BTC-USD"}', b'{"type":"auction"}']
)


class Lines:
    """Takes the place of the disk's writer: what was handed over, in order."""

    def __init__(self) -> None:
        self.lines = b""

    def append(self, lines: bytes, record_no: int) -> bool:
        """Take lines, of which the last has the number."""
        self.lines += lines
        assert json.loads(self.lines.splitlines()[-1])["record_no"] == record_no
        return True


def record(reads: Sequence[Sequence[bytes]]) -> tuple[list[dict[str, Any]], list[Count], list[bytes]]:
    """The lines of frames that came in these reads, what was counted, and what was noticed.

    An error is answered with a record of ours, as the acknowledgement of a subscription is.
    """
    disk, noticed = Lines(), list[bytes]()
    traffic = Traffic(PRODUCTS, lambda lag: None)
    recorder = Recorder(RecordEncoder(SESSION, lambda: 0), cast(DiskWriter, disk), traffic, GapTracker(GRACE_SECONDS))

    def notice(header: Header | None, frame: bytes) -> None:
        noticed.append(frame)
        if header is not None and header.type == "error":
            recorder.clock_set(1000)

    for frames in reads:
        recorder.frames(frames, 1, notice, {"match", "ticker"})
    return [json.loads(line) for line in disk.lines.splitlines()], sorted(traffic.counts()), noticed


@given(frames=st.lists(trades | trades | trades | heartbeats | others, min_size=1, max_size=20), data=st.data())
def test_it_does_not_matter_how_many_frames_one_read_brings(frames: list[bytes], data: st.DataObject) -> None:
    """Frames that were read together give the same records, in the same order, as frames that came one by one."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(frames)), max_size=4)) | {0, len(frames)})
    together = [frames[start:end] for start, end in itertools.pairwise(cuts)]

    assert record(together) == record([[frame] for frame in frames])


def test_a_gap_is_recorded_right_behind_the_trade_that_shows_it() -> None:
    """Also in the middle of what one read brought; what came before it and after it keep their places."""
    lines, counts, _ = record([[match_frame(1), match_frame(2), match_frame(5), match_frame(6), match_frame(3)]])

    assert [(line["type"], line.get("trade_id")) for line in lines] == [
        ("match", 1),
        ("match", 2),
        ("match", 5),
        ("pulse_gap", None),
        ("match", 6),
        ("match", 3),
        ("pulse_gap_closed", None),
    ]
    assert lines[3]["detail"] == {"first_missing": 3, "last_missing": 4, "detected_by": "trade_id"}
    assert [line["record_no"] for line in lines] == [*range(1, 8)]
    assert [count.messages for count in counts] == [5]


def test_every_frame_is_recorded_before_it_is_noticed() -> None:
    """What is recorded in answer to a frame follows on it."""
    error = b'{"type":"error","message":"m"}'

    lines, _, noticed = record([[match_frame(1), error, match_frame(2)]])

    assert [line["type"] for line in lines] == ["match", "error", "pulse_clock", "match"]
    assert noticed == [error]
