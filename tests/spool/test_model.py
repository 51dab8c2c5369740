"""The spool against a model: a row of frames for each session.

Streamer, sealer and loader do their steps in any order on a disk that fails at any system call: they are killed, the
power is cut, the disk is full or read-only for a while. The model says what must be left: nothing durable is lost,
nothing is there twice, record numbers have no hole, and what is sealed never changes.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from include.spool import (
    Archive,
    RecordEncoder,
    SealKind,
    SealReport,
    SegmentName,
    SegmentWriter,
    Session,
    Spool,
    State,
    SyncFailed,
    open_segment,
    read_records,
    seal_all,
)
from tests.spool.faulty_disk import Disk, Fault, Killed, Trouble

EXAMPLES, STEPS = 320, 50
#: What would survive is the faulty disk's own book-keeping: no real disk has to be waited for.
MEMORY = Path("/dev/shm")
FINISHED = (State.SEALED, State.LOADED, State.ARCHIVED)
STREAMER, SEALER, LOADER = "streamer-1", "sealer", "loader"

troubles: tuple[Trouble, ...] = ("power", "kill", "power", "kill", "full", "read_only", "sync_error", "short_write")


def faults(calls: int) -> st.SearchStrategy[Fault | None]:
    """Nothing, or a fault at one of the first calls of an action, which makes about so many."""
    return st.none() | st.just(None) | st.builds(Fault, st.sampled_from(troubles), st.integers(0, calls))


frames = st.lists(
    st.sampled_from([b'{"type":"match","trade_id":1}', b'{"type":"a","x":"' + b"x" * 700 + b'"}', b"no JSON\0"]),
    min_size=1,
    max_size=4,
)


class Run:
    """One session: its streamer's parts, and what the model knows about it."""

    def __init__(self, spool: Spool, session: Session, lock: AbstractContextManager[None]) -> None:
        self.session = session
        self.lock = lock
        self.received: list[bytes] = []
        self.unwritten: list[bytes] = []
        """Lines that the disk did not take yet."""
        self.in_kernel = 0
        """So many frames survive kill -9."""
        self.durable = 0
        """So many survive a power cut."""
        self.encoder = RecordEncoder(session, lambda: 1_783_465_096_000_000_000 + 1_000_000 * len(self.received))
        self.writer = SegmentWriter(spool, session, max_bytes=2500, max_age_seconds=300)

    def receive(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.received.append(frame)
            self.unwritten.append(self.encoder.frame(frame, 1).line)

    def write(self) -> None:
        self.writer.write(b"".join(self.unwritten))
        self.unwritten = []
        self.in_kernel = len(self.received)

    def sync(self) -> None:
        self.writer.sync()
        self.durable = self.in_kernel

    def let_go(self, step: Callable[[], SegmentName | None]) -> None:
        if step() is not None:
            self.durable = self.in_kernel


class SpoolMachine(RuleBasedStateMachine):
    """See the module."""

    steps_run = 0
    system_calls = 0

    @initialize(seed=st.integers(0, 2**32))
    def create(self, seed: int) -> None:
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None))
        self.disk = self.stack.enter_context(Disk(Path(folder) / "volume", Random(seed)))
        self.spool = Spool(self.disk.root / "data" / "spool", "simulated")
        self.runs: list[Run] = []
        self.running: Run | None = None
        self.moving: set[SegmentName] = set()
        """Segments in the warehouse that the loader has not moved for sure."""
        self.contents: dict[SegmentName, bytes] = {}

    # --------------------------------------------------------- faults, at any call

    def act(self, actor: str, fault: Fault | None, action: Callable[[], object]) -> OSError | None:
        """Let a process do something; the error it saw when it lives on."""
        trouble = self.disk.error
        try:
            with self.disk.acting(actor, fault):
                action()
        except Killed:
            assert fault
            self.die(actor, power=fault.kind == "power")
        except OSError as error:
            assert trouble or self.disk.error or (fault and fault.kind == "sync_error"), "an error without a cause"
            return error
        return None

    def die(self, actor: str, *, power: bool) -> None:
        """A process is gone; after a power cut all are, and only what is durable is promised."""
        self.disk.kill(actor)
        if power:
            self.disk.cut_power()
            for run in self.runs:
                run.in_kernel = run.durable
        if actor == STREAMER or power:
            self.running = None

    def stop_if_lost(self, failure: OSError | None) -> None:
        """After a failed sync of lines the streamer has to stop; other failures pass."""
        if isinstance(failure, SyncFailed):
            self.die(STREAMER, power=False)
            self.lose_unsynced()

    def lose_unsynced(self) -> None:
        """A file could not be synced: nobody can know what the disk holds of it."""
        for run in self.runs:
            run.in_kernel = run.durable

    def has(self, *states: State) -> bool:
        """Whether there is a segment in one of the states."""
        return bool(self.runs) and any(self.spool.segments(state) for state in states)

    # -------------------------------------------------------------------- streamer

    @precondition(lambda self: self.running is None)
    @rule(fault=faults(26))
    def start(self, fault: Fault | None) -> None:
        def begin() -> None:
            spool = Spool.open(self.spool.root, "simulated", create=True)
            lock = spool.lock_streamer(STREAMER)
            lock.__enter__()
            session = Session(STREAMER, f"20260707T{len(self.runs):06d}Z-00000000")
            self.running = Run(spool, session, lock)
            self.runs.append(self.running)

        if self.act(STREAMER, fault, begin):
            self.die(STREAMER, power=False)

    @precondition(lambda self: self.running is not None)
    @rule(received=frames, fault=faults(5), commits=st.booleans())
    def append(self, received: list[bytes], fault: Fault | None, commits: bool) -> None:
        run = self.running
        assert run
        run.receive(received)

        def write() -> None:
            run.write()
            if commits:
                run.sync()

        self.stop_if_lost(self.act(STREAMER, fault, write))

    @precondition(lambda self: self.running and self.running.durable < self.running.in_kernel)
    @rule(fault=faults(0))
    def commit(self, fault: Fault | None) -> None:
        assert self.running
        self.stop_if_lost(self.act(STREAMER, fault, self.running.sync))

    @precondition(lambda self: self.running and self.running.writer.current)
    @rule(fault=faults(6))
    def check(self, fault: Fault | None) -> None:
        """A segment that somebody rotated is let go. A failed rotation is tried again."""
        run = self.running
        assert run
        failure = self.act(STREAMER, fault, lambda: run.let_go(run.writer.check))
        self.stop_if_lost(failure)
        if self.running and not failure:
            assert run.writer.current in (None, *self.spool.segments(State.ACTIVE))

    @precondition(lambda self: self.running and self.running.writer.current)
    @rule(fault=faults(6), stops=st.booleans())
    def close(self, fault: Fault | None, stops: bool) -> None:
        run = self.running
        assert run
        failure = self.act(STREAMER, fault, lambda: run.let_go(run.writer.close))
        self.stop_if_lost(failure)
        if stops and self.running and not failure:
            self.die(STREAMER, power=False)

    @precondition(lambda self: self.running is not None)
    @rule(power=st.booleans())
    def kill(self, power: bool) -> None:
        self.die(STREAMER, power=power)

    @precondition(lambda self: self.running is None and self.has(*State))
    @rule()
    def cut_power(self) -> None:
        self.die(STREAMER, power=True)

    # ------------------------------------------------------------------------ disk

    @precondition(lambda self: self.disk.error is not None)
    @rule()
    def recover(self) -> None:
        """The streamer keeps trying."""
        self.disk.fail(None)
        if self.running:
            self.act(STREAMER, None, self.running.write)

    # -------------------------------------------------------------------- pipeline

    @precondition(lambda self: self.has(State.ACTIVE))
    @rule(fault=faults(5))
    def rotate(self, fault: Fault | None) -> None:
        self.act(SEALER, fault, self.spool.rotate_all)

    @precondition(lambda self: self.has(State.ACTIVE, State.SEALING))
    @rule(fault=faults(24))
    def seal(self, fault: Fault | None) -> None:
        if self.act(SEALER, fault, lambda: self.judge(seal_all(self.spool, timeout_seconds=0))):
            self.lose_unsynced()

    def judge(self, report: SealReport) -> None:
        """Only the living writer's segment may be busy; what is sealed is durable."""
        busy = [outcome.name for outcome in report.of(SealKind.BUSY)]
        assert busy in ([], [self.running.writer.current if self.running else None])
        assert not report.of(SealKind.QUARANTINED)
        for outcome in report.of(SealKind.SEALED):
            assert outcome.manifest
            run = next(run for run in self.runs if run.session == outcome.name.session)
            run.durable = max(run.durable, outcome.manifest.last_record_no)
            run.in_kernel = max(run.in_kernel, run.durable)

    @precondition(lambda self: self.moving or self.has(State.SEALED))
    @rule(fault=faults(13))
    def load(self, fault: Fault | None) -> None:
        """What a dead loader began is moved again before anything else."""

        def move() -> None:
            self.moving |= set(self.spool.segments(State.SEALED)[:2])
            for name in sorted(self.moving):
                self.spool.mark_loaded(name)
                self.moving.remove(name)

        self.act(LOADER, fault, move)

    @precondition(lambda self: self.has(State.LOADED))
    @rule(fault=faults(25))
    def archive(self, fault: Fault | None) -> None:
        def move() -> None:
            for name in self.spool.segments(State.LOADED)[:2]:
                self.take(name)

        self.act(LOADER, fault, move)

    def take(self, name: SegmentName) -> None:
        Archive.in_spool(self.spool).take(self.spool, name)

    # ------------------------------------------------------------------------ laws

    @invariant()
    def what_is_sealed_never_changes(self) -> None:
        SpoolMachine.steps_run += 1
        if not self.runs:
            return
        for state in FINISHED:
            for name in self.spool.segments(state):
                path = self.spool.path(name, state)
                with open_segment(path) as file:
                    content = file.read()
                assert content == self.contents.setdefault(name, content)
                manifest = self.spool.manifest(name, state)
                assert (manifest.segment, manifest.bytes) == (name.file_name, len(content))
                assert state is State.ARCHIVED or path.stat().st_mode & 0o222 == 0

    @invariant()
    def nothing_whole_is_quarantined(self) -> None:
        assert not self.runs or self.spool.segments(State.QUARANTINED) == []

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        with self.stack:
            self.disk.fail(None)
            if self.runs:
                self.die(STREAMER, power=False)
                self.finish()
        SpoolMachine.system_calls += self.disk.calls

    def finish(self) -> None:
        """Everything is mended by what runs every two minutes anyhow; then the books are balanced."""
        self.judge(seal_all(self.spool, timeout_seconds=0))
        for state, move in ((State.SEALED, self.spool.mark_loaded), (State.LOADED, self.take)):
            for name in self.spool.segments(state):
                move(name)
        with self.spool.lock_streamer(STREAMER):
            found = {state: self.spool.segments(state) for state in State}
        archived = found.pop(State.ARCHIVED)
        assert not any(found.values())
        assert len(archived) == len(set(archived))
        assert self.contents.keys() <= set(archived)
        for run in self.runs:
            numbers = [name.segment_no for name in archived if name.session == run.session]
            assert numbers == list(range(1, len(numbers) + 1))
            recovered = [
                (envelope.record_no, frame)
                for name in archived
                if name.session == run.session
                for envelope, _, frame in read_records(self.spool.path(name, State.ARCHIVED))
            ]
            assert recovered == list(enumerate(run.received[: len(recovered)], start=1))
            assert len(recovered) >= run.in_kernel


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_crash_and_no_full_disk_loses_or_doubles_anything() -> None:
    """At least 10,000 steps, the same ones in every run."""
    SpoolMachine.steps_run = SpoolMachine.system_calls = 0
    run_state_machine_as_test(
        SpoolMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    print(f"{SpoolMachine.steps_run} steps, {SpoolMachine.system_calls} system calls")
    assert SpoolMachine.steps_run >= 10_000
