"""A recorded minute in a spool: every frame verbatim, received when its last message was sent."""

import re
from datetime import UTC, datetime
from pathlib import Path

from include.spool import RecordEncoder, SegmentWriter, Session, Spool

_TIME = re.compile(rb'"time":"([0-9T:.-]+)Z"')
_NO_LIMIT = 2**62


def record(recording: Path, spool: Spool) -> None:
    """Write the frames of an NDJSON recording (one a line) into one segment, left to be sealed."""
    frames = recording.read_bytes().splitlines()
    now = _first_time(frames)

    def clock() -> int:
        return int(now.timestamp() * 1_000_000) * 1000

    session = Session("replay-1", f"{now:%Y%m%dT%H%M%S}Z-0000002a")
    encoder = RecordEncoder(session, clock)
    lines = bytearray()
    for frame in frames:
        if found := _TIME.search(frame):
            now = max(now, _instant(found[1]))
        lines += encoder.frame(frame, 1).line
    writer = SegmentWriter(spool, session, _NO_LIMIT, _NO_LIMIT)
    writer.write(lines)
    writer.close()


def _first_time(frames: list[bytes]) -> datetime:
    """Of the first match or heartbeat that is not a repetition: a last_match tells an old time."""
    times = [found[1] for frame in frames if b'"last_match"' not in frame and (found := _TIME.search(frame))]
    if not times:
        raise ValueError("no frame of the recording has a time")
    return _instant(times[0])


def _instant(text: bytes) -> datetime:
    return datetime.fromisoformat(text.decode()).replace(tzinfo=UTC)
