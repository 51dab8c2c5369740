"""Killed sealers and killed writers: real processes, real SIGKILL."""

import functools
import itertools
import os
import random
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from include.spool import RecordEncoder, SealKind, SegmentName, SegmentWriter, Session, Spool, State, seal, seal_all

Start = Callable[..., BaseProcess]
Killed = Callable[[int, Callable[[], object]], bool]
FramesIn = Callable[[Spool, State], list[bytes]]
NAME = SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", 1)


@pytest.mark.parametrize(
    ("tail", "kind", "torn_bytes"),
    [
        (b"", SealKind.SEALED, 0),
        (b'{"torn', SealKind.SEALED, 6),
        (b"not a line\n", SealKind.QUARANTINED, 0),
        (b"not a line\n{", SealKind.QUARANTINED, 1),
    ],
)
def test_sealing_can_be_killed_at_every_step(
    tmp_path: Path, encoder: RecordEncoder, killed_at: Killed, tail: bytes, kind: SealKind, torn_bytes: int
) -> None:
    """Whenever a sealer dies, the segment has a manifest if it is sealed, and the next sealer ends where one would."""
    line = encoder.frame(b'{"type":"a"}', 1).line
    step, killed = 0, True
    while killed:
        spool = Spool.open(tmp_path / str(step), "live", create=True)
        spool.path(NAME, State.SEALING).write_bytes(line + tail)

        killed = killed_at(step, functools.partial(seal, spool, NAME, 0))

        found = [state for state in State if spool.segments(state)]
        assert len(found) == 1
        if found == [State.SEALED]:
            assert spool.manifest(NAME, State.SEALED).records == 1
        seal_all(spool, timeout_seconds=0)
        if kind is SealKind.SEALED:
            manifest = spool.manifest(NAME, State.SEALED)
            assert spool.path(NAME, State.SEALED).read_bytes() == line
            assert (manifest.bytes, manifest.torn_bytes) == (len(line), torn_bytes)
        else:
            assert spool.path(NAME, State.QUARANTINED).read_bytes().startswith(line)
            assert (spool.folder(State.QUARANTINED) / f"{NAME.file_name}.reason.json").exists()
        torn = spool.folder(State.QUARANTINED) / NAME.torn_name
        assert (torn.stat().st_size if torn.exists() else 0) == torn_bytes
        assert not [path for state in State for path in spool.folder(state).glob("*.tmp")]
        step += 1
    assert step > 3


@pytest.mark.parametrize("state", [State.ACTIVE, State.SEALING])
def test_name_that_a_power_cut_brought_back_is_not_sealed_again(
    spool: Spool, encoder: RecordEncoder, state: State
) -> None:
    """A segment that has its old name again beside the new one is sealed already: the old name goes, nothing else."""
    spool.path(NAME, State.SEALING).write_bytes(encoder.frame(b'{"type":"a"}', 1).line)
    seal_all(spool, timeout_seconds=0)
    manifest = spool.manifest(NAME, State.SEALED)
    spool.mark_loaded(NAME)
    spool.path(NAME, state).hardlink_to(spool.path(NAME, State.LOADED))

    report = seal_all(spool, timeout_seconds=0)

    assert [outcome.kind for outcome in report.outcomes] == [SealKind.GONE]
    assert [found for found in State if spool.segments(found)] == [State.LOADED]
    assert spool.manifest(NAME, State.LOADED) == manifest


def test_two_sealers_share_the_work(spool: Spool, encoder: RecordEncoder, start_process: Start, tmp_path: Path) -> None:
    """Of many sealers at once, exactly one seals each segment; the others find it gone."""
    names = [SegmentName(NAME.streamer_id, NAME.session_id, number) for number in range(1, 13)]
    for name in names:
        spool.path(name, State.SEALING).write_bytes(encoder.frame(b'{"type":"a"}', 1).line)

    def seal_each(report: Path, order: list[SegmentName]) -> None:
        outcomes = [(name, seal(spool, name, timeout_seconds=30).kind) for name in order]
        report.write_text("\n".join(f"{name.segment_no} {kind}" for name, kind in outcomes))

    reports = [tmp_path / f"report-{number}" for number in range(4)]
    sealers = [
        start_process(seal_each, report, names if number % 2 else names[::-1]) for number, report in enumerate(reports)
    ]
    for sealer in sealers:
        sealer.join(60)
        assert sealer.exitcode == 0

    outcomes = sorted(line for report in reports for line in report.read_text().splitlines())
    expected = [f"{number} sealed" for number in range(1, 13)] + [f"{number} gone" for number in range(1, 13)] * 3
    assert outcomes == sorted(expected)
    assert [spool.manifest(name, State.SEALED).records for name in names] == [1] * 12


def write_forever(spool: Spool, session: Session, progress: int, batch: int) -> None:
    """A writer at full speed, which reports the last frame number after each write and each sync, until killed."""
    encoder = RecordEncoder(session, lambda: 0)
    writer = SegmentWriter(spool, session, max_bytes=300_000, max_age_seconds=300)
    for first in itertools.count(1, batch):
        lines = [
            encoder.frame(b'{"type":"match","trade_id":%d,"product_id":"BTC-USD"}' % number, 1).line
            for number in range(first, first + batch)
        ]
        writer.write(b"".join(lines))
        os.write(progress, b"%d\n" % (first + batch - 1))
        if first // batch % 5 == 0:
            writer.sync()
        writer.check()


@pytest.fixture
def progress(tmp_path: Path) -> Path:
    """Where a writer process says how far it is."""
    return tmp_path / "progress"


@pytest.fixture
def start_writer(spool: Spool, progress: Path, start_process: Start) -> Callable[..., BaseProcess]:
    """Starts a writer at full speed in a process of its own."""

    def start(session: Session, batch: int) -> BaseProcess:
        with progress.open("wb", buffering=0) as file:
            return start_process(write_forever, spool, session, file.fileno(), batch)

    return start


def reported(progress: Path) -> int:
    """The last frame number that the writer said it had handed to the kernel."""
    numbers = progress.read_bytes().splitlines()
    return int(numbers[-1]) if numbers else 0


def numbered(count: int) -> list[bytes]:
    return [b'{"type":"match","trade_id":%d,"product_id":"BTC-USD"}' % number for number in range(1, count + 1)]


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_writer_loses_nothing_it_wrote(
    spool: Spool,
    session: Session,
    progress: Path,
    start_writer: Callable[..., BaseProcess],
    frames_in: FramesIn,
    eventually: Callable[[Callable[[], bool]], None],
    seed: int,
) -> None:
    """After kill -9 at any moment the sealer takes over at once and finds every frame that was written, once."""
    moments = random.Random(seed)
    enough = moments.randrange(1, 20_000)
    writer = start_writer(session, batch=moments.randrange(1, 200))
    eventually(lambda: reported(progress) >= enough)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()

    report = seal_all(spool, timeout_seconds=0)

    assert report.of(SealKind.BUSY) == report.of(SealKind.QUARANTINED) == []
    recovered = frames_in(spool, State.SEALED)
    assert len(recovered) >= reported(progress)
    assert recovered == numbered(len(recovered))


def test_rotating_under_a_writer_at_full_speed_loses_nothing(
    spool: Spool,
    session: Session,
    progress: Path,
    start_writer: Callable[..., BaseProcess],
    frames_in: FramesIn,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    """While segments are rotated and sealed as fast as possible, every record ends in exactly one of them."""
    writer = start_writer(session, batch=7)
    sealed = 0

    def rotate_and_seal() -> bool:
        nonlocal sealed
        report = seal_all(spool, timeout_seconds=10)
        assert report.of(SealKind.QUARANTINED) == report.of(SealKind.BUSY) == []
        sealed += len(report.of(SealKind.SEALED))
        return sealed >= 40

    eventually(rotate_and_seal)
    writer.kill()
    writer.join()
    seal_all(spool, timeout_seconds=0)

    names = spool.segments(State.SEALED)
    assert [name.segment_no for name in names] == list(range(1, len(names) + 1))
    recovered = frames_in(spool, State.SEALED)
    assert len(recovered) >= reported(progress)
    assert recovered == numbered(len(recovered))
