"""What the tests of the spool share: a fixed session, made-up and recorded frames, and processes that can be killed."""

import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from include.spool import RecordEncoder, SegmentName, SegmentWriter, Session, Spool, State, read_records, seal_all

START_NS = 1_783_465_096_123_456_789  # 2026-07-07T22:58:16.123456789Z
RECORDINGS = Path(os.environ.get("PULSE_RECORDINGS", Path(__file__).parents[3] / "shared" / "recordings"))

# What changes the file system or takes a lock, by the names of Python's audit events.
STEPS = {"os.rename", "os.truncate", "os.remove", "os.link", "os.mkdir", "os.chmod", "fcntl.flock"}


def recorded_frames(path: Path) -> list[bytes]:
    """The frames received in a recording: bare ones, or `epoch: frame`; frames sent carry an address instead."""
    lines = path.read_bytes().splitlines()
    if path.suffix == ".ndjson":
        return lines
    return [match[1] for line in lines if (match := re.fullmatch(rb"[0-9.]+: (.*)", line))]


# The recordings are not part of the repository.
collect_ignore = [] if RECORDINGS.is_dir() else ["test_recordings.py"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `recording` runs once for each recording."""
    if "recording" in metafunc.fixturenames:
        metafunc.parametrize("recording", sorted(path.name for path in RECORDINGS.glob("exchange_*")), indirect=True)


@pytest.fixture
def recording(request: pytest.FixtureRequest) -> list[bytes]:
    """The frames of one recording."""
    return recorded_frames(RECORDINGS / request.param)


@pytest.fixture
def session() -> Session:
    """A session with a fixed id."""
    return Session("streamer-1", "20260707T225816Z-3f9a2c41")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool.open(tmp_path / "spool", "live", create=True)


@pytest.fixture
def encoder(session: Session) -> RecordEncoder:
    """An encoder whose clock goes on by 1 ms a record."""
    ticks = iter(range(START_NS, sys.maxsize, 1_000_000))
    return RecordEncoder(session, lambda: next(ticks))


def match_frame(trade_id: int) -> bytes:
    """A trade as the exchange sends it."""
    return (
        b'{"type":"match","trade_id":%d,"maker_order_id":"8e4e0d2c-5b5e-4b0f-8b5b-0d4f8a5f2b11",'
        b'"side":"buy","size":"0.00007999","price":"63077.01","product_id":"BTC-USD","sequence":%d,'
        b'"time":"2026-07-07T22:58:16.%06dZ"}'
    ) % (trade_id, trade_id * 7, trade_id % 1_000_000)


@pytest.fixture
def matches() -> Callable[[int], list[bytes]]:
    """The first n of an endless row of trades, numbered from 1."""
    return lambda n: [match_frame(trade_id) for trade_id in range(1, n + 1)]


@pytest.fixture
def through_the_spool() -> Callable[[Spool, Session, RecordEncoder, list[bytes]], None]:
    """Encodes, writes and seals frames, in batches and several segments."""

    def send(spool: Spool, session: Session, encoder: RecordEncoder, frames: list[bytes]) -> None:
        writer = SegmentWriter(spool, session, max_bytes=200_000, max_age_seconds=300)
        for start in range(0, len(frames), 100):
            writer.write(b"".join(encoder.frame(frame, 1).line for frame in frames[start : start + 100]))
            writer.check()
        writer.close()
        seal_all(spool, timeout_seconds=0)

    return send


@pytest.fixture
def put_sealing(spool: Spool, session: Session) -> Callable[..., SegmentName]:
    """Puts bytes into sealing/ as a segment of the fixed session that a dead writer left."""

    def put(content: bytes, segment_no: int = 1) -> SegmentName:
        name = SegmentName(session.streamer_id, session.session_id, segment_no)
        spool.path(name, State.SEALING).write_bytes(content)
        return name

    return put


@pytest.fixture
def frames_in() -> Callable[[Spool, State], list[bytes]]:
    """All frames stored in a state, after checking that record numbers have no hole inside each session."""

    def collect(spool: Spool, state: State) -> list[bytes]:
        last: dict[str, int] = {}
        frames = []
        for name in spool.segments(state):
            for envelope, _, frame in read_records(spool.path(name, state)):
                assert envelope.record_no == last.get(envelope.session_id, 0) + 1
                last[envelope.session_id] = envelope.record_no
                if frame is not None:
                    frames.append(frame)
        return frames

    return collect


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until a condition holds; fails after 30 seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        pause = multiprocessing.Event()
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            pause.wait(0.005)

    return wait


@pytest.fixture
def killed_at() -> Callable[[int, Callable[[], object]], bool]:
    """Runs an action in a process of its own that kills itself before the n-th step that others could see.

    The answer is whether it came to that; False means that the action ended before.
    """
    fork = multiprocessing.get_context("fork")

    def run(step: int, action: Callable[[], object]) -> bool:
        process = fork.Process(target=_run_until_step, args=(step, action))
        process.start()
        process.join(60)
        assert process.exitcode in {0, -signal.SIGKILL}
        return process.exitcode != 0

    return run


def _run_until_step(step: int, action: Callable[[], object]) -> None:
    remaining = step

    def audit(event: str, args: tuple[object, ...]) -> None:
        nonlocal remaining
        if event in STEPS or (event == "open" and args[2] and isinstance(args[2], int) and args[2] & os.O_CREAT):
            remaining -= 1
            if remaining < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    action()


@pytest.fixture
def start_process() -> Iterator[Callable[..., multiprocessing.process.BaseProcess]]:
    """Starts functions in processes of their own; those still alive at the end of the test are killed."""
    fork = multiprocessing.get_context("fork")
    processes = []

    def start(target: Callable[..., object], *args: object) -> multiprocessing.process.BaseProcess:
        process = fork.Process(target=target, args=args)
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()
