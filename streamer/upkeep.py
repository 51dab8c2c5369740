"""What is looked after about once a second, beside the frames: the clock, overdue trades, the disk."""

from streamer.clock import SessionClock
from streamer.commits import CommitAges
from streamer.recorder import Recorder
from streamer.writer import DiskFailure, DiskWriter


class Upkeep:
    """Records what changed since the last look."""

    def __init__(self, clock: SessionClock, recorder: Recorder, writer: DiskWriter, commits: CommitAges) -> None:
        self._commits = commits
        self._clock = clock
        self._recorder = recorder
        self._writer = writer
        self._failing: DiskFailure | None = None
        self._last_since = 0.0

    def look(self) -> None:
        """To be called about once a second, on the event loop."""
        if step_ns := self._clock.check():
            self._recorder.clock_set(step_ns)
        self._recorder.overdue()
        self._look_at_disk()
        if summary := self._commits.due():
            self._recorder.commits(summary)

    def _look_at_disk(self) -> None:
        """At most one failure at each look, but also one that is over already."""
        present = self._writer.failure
        failure = present or self._writer.last_failure
        if failure and failure.since > self._last_since and not self._failing:
            self._failing = failure
            self._last_since = failure.since
            self._recorder.disk_failing(failure)
        if self._failing and not present:
            self._recorder.disk_recovered(self._failing)
            self._failing = None
