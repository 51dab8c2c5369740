"""What of a refetch is still on its way to the marts: seen in the spool, without asking the warehouse."""

import contextlib
from collections.abc import Collection
from typing import Any, Final

from include.spool import SegmentName, Spool, State

#: Streamers whose id begins so wrote what REST brought: the marts' column `source` comes from it (docs/marts.md).
_PREFIX: Final = "rest-"
#: In the order a segment takes, so that one on its way is seen. From loaded/ it goes on only when it is in the marts.
_ON_THEIR_WAY: Final = (State.ACTIVE, State.SEALING, State.SEALED, State.LOADED)


class SegmentSetAside(Exception):
    """A segment of a refetch is in quarantine: its trades will not come by themselves."""


def streamer_id(lane: int) -> str:
    """The streamer as which a lane writes, counted from 1."""
    return f"{_PREFIX}{lane}"


def rest_bytes(spool: Spool) -> int:
    """Size of all segments of refetches that are not in the marts yet."""
    total = 0
    for state in _ON_THEIR_WAY:
        for name in _segments(spool, state):
            with contextlib.suppress(FileNotFoundError):
                total += spool.path(name, state).stat().st_size
    return total


def on_their_way(spool: Spool, sessions: Collection[str]) -> dict[str, Any]:
    """Segments of these sessions by state, states without any left out; empty when all is in the marts.

    Raises SegmentSetAside.
    """
    aside = [name.file_name for name in _segments(spool, State.QUARANTINED) if name.session_id in sessions]
    if aside:
        raise SegmentSetAside(
            f"{', '.join(aside)} in {spool.folder(State.QUARANTINED)}. Hint: read the .reason.json beside it, then "
            f"trigger the backfill again: it fetches what is missing"
        )
    waiting = {
        state.value: sum(name.session_id in sessions for name in _segments(spool, state)) for state in _ON_THEIR_WAY
    }
    return {state: count for state, count in waiting.items() if count}


def _segments(spool: Spool, state: State) -> list[SegmentName]:
    return [name for name in spool.segments(state) if name.streamer_id.startswith(_PREFIX)]
