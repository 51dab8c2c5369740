"""Real traffic through the spool; collected where the recordings are."""

import json
from collections import Counter
from collections.abc import Callable

from include.spool import RecordEncoder, Session, Spool, State


def test_recorded_frames_come_back_byte_for_byte(
    spool: Spool,
    session: Session,
    encoder: RecordEncoder,
    recording: list[bytes],
    through_the_spool: Callable[..., None],
    frames_in: Callable[[Spool, State], list[bytes]],
) -> None:
    """Real traffic, a snapshot of 1.1 MB included, goes through the spool unchanged and none of it is malformed."""
    through_the_spool(spool, session, encoder, recording)

    types: Counter[str] = Counter()
    for name in spool.segments(State.SEALED):
        types.update(spool.manifest(name, State.SEALED).types)
    assert types == Counter(json.loads(frame)["type"] for frame in recording)
    assert frames_in(spool, State.SEALED) == recording
