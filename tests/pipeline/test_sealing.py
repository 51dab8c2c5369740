"""Sealing a backlog: in several processes, which end with the one that started them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from include.config import PipelineConfig
from include.pipeline import sealing
from include.pipeline.sealer_process import SealerDied, SealerProcess
from include.pipeline.sealing import SegmentsQuarantined, seal_segments
from include.spool import RecordEncoder, SealKind, SegmentName, Session, Spool, State

SESSION = Session("streamer-1", "20260707T225816Z-3f9a2c41")
REPOSITORY = Path(__file__).parents[2]
TWO = PipelineConfig(seal_processes=2)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool.open(tmp_path / "spool", "simulated", create=True)


@pytest.fixture
def backlog(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> list[SegmentName]:
    """Six segments that wait, of two records each; the second of which drifts. Few bytes are worth a process."""
    monkeypatch.setattr(sealing, "PROCESS_WORTH_BYTES", 1)
    encoder = RecordEncoder(SESSION, lambda: 0)
    names = [SegmentName(SESSION.streamer_id, SESSION.session_id, number) for number in range(1, 7)]
    for name in names:
        lines = [encoder.frame(frame, 1).line for frame in (b"not json", b'{"type":"error","message":1}')]
        spool.path(name, State.SEALING).write_bytes(b"".join(lines))
    return names


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds; fails after 30 seconds."""
    deadline = time.monotonic() + 30
    pause = multiprocessing.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.01)


def test_a_backlog_is_sealed_by_processes(spool: Spool, backlog: list[SegmentName]) -> None:
    """The outcome is that of one process: every segment, every record, the drift by kind."""
    outcome = seal_segments(spool, TWO)

    assert (outcome["segments"], outcome["records"], outcome["drift"]) == (6, 12, {"changed": 6})
    assert spool.segments(State.SEALED) == backlog
    assert [spool.manifest(name, State.SEALED).records for name in backlog] == [2] * 6


def test_processes_report_what_they_set_aside(spool: Spool, backlog: list[SegmentName]) -> None:
    """A segment that breaks the format is named; the others are sealed."""
    spool.path(backlog[2], State.SEALING).write_bytes(b"oops\n")

    with pytest.raises(SegmentsQuarantined, match=backlog[2].file_name):
        seal_segments(spool, TWO)

    assert spool.segments(State.SEALED) == [name for name in backlog if name != backlog[2]]


def test_an_error_of_the_disk_comes_through(spool: Spool, backlog: list[SegmentName]) -> None:
    """It has its number and its path, and the processes are gone."""
    spool.folder(State.SEALED).rmdir()
    spool.folder(State.SEALED).write_bytes(b"")

    with pytest.raises(NotADirectoryError, match="sealed"):
        seal_segments(spool, TWO)

    assert spool.segments(State.SEALING) == backlog


def test_a_killed_process_fails_the_step_and_loses_nothing(spool: Spool, backlog: list[SegmentName]) -> None:
    """The next run seals what is left."""
    with SealerProcess(spool) as sealer:
        assert sealer.seal(backlog[0], 0).kind is SealKind.SEALED
        os.kill(sealer.pid, signal.SIGKILL)
        with pytest.raises(SealerDied, match=backlog[1].file_name):
            sealer.seal(backlog[1], 0)

    assert seal_segments(spool, TWO)["segments"] == 5
    assert spool.segments(State.SEALED) == backlog


def test_a_process_ends_with_the_one_that_started_it(spool: Spool, backlog: list[SegmentName]) -> None:
    """Also when that one is killed."""
    program = (
        "import sys; from pathlib import Path; from include.spool import Spool;"
        "from include.pipeline.sealer_process import SealerProcess;"
        "sealer = SealerProcess(Spool.open(Path(sys.argv[1]), 'simulated', create=False));"
        "print(sealer.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(spool.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()

    eventually(lambda: not is_alive(pid))


def test_a_forked_daemon_may_seal_in_processes(spool: Spool, backlog: list[SegmentName]) -> None:
    """A scheduler's worker is one, and multiprocessing allows it no children."""
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=seal_segments, args=(spool, TWO), daemon=True)

    process.start()
    process.join(60)

    assert process.exitcode == 0
    assert spool.segments(State.SEALED) == backlog


def test_little_is_sealed_without_processes(
    spool: Spool, backlog: list[SegmentName], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few segments are sealed sooner than a process has started."""
    monkeypatch.undo()
    started: list[int] = []
    monkeypatch.setattr(sealing, "SealerProcess", started.append)

    outcome = seal_segments(spool, TWO)

    assert (outcome["segments"], outcome["drift"], started) == (6, {"changed": 6}, [])
