"""What a backfill keeps on disk, beside the segments it writes: so a run that is killed goes on where it was.

`<spool>/backfill/<run>/plan.json` is written once, `lane-<n>.json` after every page that is durable in the spool. Both
lie on the volume of the spool, so that neither survives without the other.
"""

import hashlib
import shutil
import time
from pathlib import Path
from typing import Final

import msgspec

from include.pipeline.backfill.search import IdRange
from include.spool import Spool, durable

_DAY_SECONDS: Final = 24 * 60 * 60


class Piece(msgspec.Struct, frozen=True):
    """Consecutive ids of one product, both inclusive: a part of a lane."""

    product_id: str
    first: int
    last: int

    @property
    def asked(self) -> int:
        """Ids in it."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.product_id} {self.first}–{self.last}"


class Progress(msgspec.Struct):
    """How far a piece has come: everything from `reached` up is durable in the spool."""

    reached: int
    found: int = 0


class LaneState(msgspec.Struct):
    """A lane: pieces that one task fetches one after the other, each from its newest id down."""

    pieces: list[Piece]
    progress: list[Progress]
    sessions: list[str] = []
    requests: int = 0
    refusals: int = 0
    """Requests answered with 429."""
    failures: int = 0
    """Requests answered with 5xx or not at all."""
    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether every piece has come to its end."""
        return all(there.reached <= piece.first for piece, there in zip(self.pieces, self.progress, strict=True))

    @property
    def found(self) -> int:
        """Trades written to the spool; after a kill at most one page of a piece is counted once and written twice."""
        return sum(there.found for there in self.progress)

    @property
    def asked(self) -> int:
        """Ids in all pieces."""
        return sum(piece.asked for piece in self.pieces)

    @property
    def reached(self) -> int:
        """Ids that were looked at."""
        return sum(piece.last + 1 - there.reached for piece, there in zip(self.pieces, self.progress, strict=True))


class RefetchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run fetches. `already_there` counts trades of the window that the marts had when the plan was made."""

    planned_at: str
    ranges: list[IdRange]
    lanes: list[list[Piece]]
    already_there: int
    search_requests: int
    requests: int
    rows: int
    bytes: int
    seconds: float

    @property
    def asked(self) -> int:
        """Trades that the window has, by the exchange's numbers."""
        return sum(found.asked for found in self.ranges)


class RunFolder:
    """The files of one run. One process at a time writes each of them."""

    def __init__(self, spool: Spool, run_id: str) -> None:
        self.path = root_of(spool) / hashlib.sha256(run_id.encode()).hexdigest()[:16]

    def read_plan(self) -> RefetchPlan | None:
        """The plan, None before there is one."""
        path = self.path / "plan.json"
        return msgspec.json.decode(path.read_bytes(), type=RefetchPlan) if path.exists() else None

    def write_plan(self, plan: RefetchPlan) -> None:
        """Write the plan and the lanes' beginnings. A lane that has begun stays as it is."""
        durable.make_dir(self.path)
        for number, pieces in enumerate(plan.lanes, start=1):
            if not self._lane(number).exists():
                self.write_lane(number, LaneState(pieces, [Progress(piece.last + 1) for piece in pieces]))
        durable.write_atomic(self.path / "plan.json", [msgspec.json.encode(plan)])

    def read_lane(self, number: int) -> LaneState:
        """A lane, counted from 1."""
        return msgspec.json.decode(self._lane(number).read_bytes(), type=LaneState)

    def write_lane(self, number: int, lane: LaneState) -> None:
        """Write down how far a lane has come, durably."""
        durable.write_atomic(self._lane(number), [msgspec.json.encode(lane)])

    def lanes(self) -> list[LaneState]:
        """All lanes in their order; none without a plan."""
        plan = self.read_plan()
        return [self.read_lane(number) for number in range(1, len(plan.lanes) + 1)] if plan else []

    def _lane(self, number: int) -> Path:
        return self.path / f"lane-{number}.json"


def root_of(spool: Spool) -> Path:
    """The folder of all runs, made where it is missing."""
    folder = spool.root / "backfill"
    durable.make_dir(folder)
    return folder


def bucket_path(spool: Spool) -> Path:
    """The file by which all tasks share the exchange's limit on requests."""
    return root_of(spool) / "rest-turns"


def forget_old_runs(spool: Spool, days: int) -> int:
    """Delete the folders of runs that nobody wrote to for so many days; how many there were."""
    limit = time.time() - days * _DAY_SECONDS
    old = [path for path in root_of(spool).iterdir() if path.is_dir() and path.stat().st_mtime < limit]
    for path in old:
        shutil.rmtree(path)
    return len(old)
