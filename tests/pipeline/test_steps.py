"""The steps in their order, over real segments and the real local warehouse."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from include.pipeline import archive_segments, close_window, open_window
from include.pipeline.archiving import SegmentsUnproven
from include.pipeline.loader_lock import LoaderBusy, loader_lock
from include.pipeline.sealing import SegmentsQuarantined
from include.spool import State
from include.warehouse.batch_reader import SegmentChanged
from tests.pipeline.conftest import Run
from tests.warehouse.spools import matches, sealed_segment, write_segment

RECORDINGS = Path(os.environ.get("PULSE_RECORDINGS", Path(__file__).resolve().parents[3] / "shared" / "recordings"))


def test_a_segment_goes_from_the_writer_to_the_archive(run: Run) -> None:
    """Each step does its part and says so in an outcome that JSON can hold."""
    session = write_segment(run.spool, [*matches(3), b"not json"])

    assert run.seal() | {"bytes": 0} == {
        "segments": 1,
        "records": 4,
        "bytes": 0,
        "torn_tails": 0,
        "busy": [],
        "quarantined_in_total": 0,
        "drift": {},
    }
    loaded = run.load()
    assert (loaded["batches"], loaded["segments"], loaded["records"]) == (1, 1, 4)
    assert run.rows() == [
        (session.session_id, 1, "match"),
        (session.session_id, 2, "match"),
        (session.session_id, 3, "match"),
        (session.session_id, 4, "malformed"),
    ]

    assert archive_segments(run.spool, run.warehouse, run.config) == {"archived": 0, "waiting": 1}
    window = open_window(run.warehouse)
    assert window is not None
    assert (window.traded_at_min, window.traded_at_max) == (
        "2026-07-07T22:58:16.000001Z",
        "2026-07-07T22:58:16.000003Z",
    )
    assert close_window(run.warehouse, window, run_id="run")["marked_now"] == 1
    assert archive_segments(run.spool, run.warehouse, run.config) == {"archived": 1, "waiting": 0}
    assert run.states() == {"archived": 1}


def test_a_run_without_news_does_nothing(run: Run) -> None:
    """Quick and green: no batch, no window, nothing to archive."""
    assert run.seal()["segments"] == 0
    assert run.load() == {
        "batches": 0,
        "segments": 0,
        "records": 0,
        "bytes": 0,
        "dead_letters": 0,
        "recovered_batches": 0,
        "moved_only": 0,
        "faults": [],
        "surplus": [],
        "widened": 1,
        "waiting_for_quota": 0,
    }
    assert open_window(run.warehouse) is None
    assert archive_segments(run.spool, run.warehouse, run.config) == {"archived": 0, "waiting": 0}


def test_every_step_can_be_repeated(run: Run) -> None:
    """A cleared task changes nothing that is done."""
    write_segment(run.spool, matches(3))
    for _ in range(2):
        run.seal()
    for _ in range(2):
        run.load()
    rows = run.rows()
    window = open_window(run.warehouse)
    assert window == open_window(run.warehouse)
    assert window is not None

    assert [close_window(run.warehouse, window, run_id=f"run-{number}")["marked_now"] for number in (1, 2)] == [1, 0]
    assert [archive_segments(run.spool, run.warehouse, run.config)["archived"] for _ in range(2)] == [1, 0]
    assert len(rows) == 3
    assert run.rows() == rows


def test_a_window_that_was_not_closed_is_part_of_the_next(run: Run) -> None:
    """dbt failed: what was loaded is transformed by the next run, together with what came since."""
    sealed_segment(run.spool, matches(2))
    run.load()
    failed = open_window(run.warehouse)
    sealed_segment(run.spool, matches(2, first=500))
    run.load()

    window = open_window(run.warehouse)

    assert failed is not None
    assert window is not None
    assert set(failed.batch_ids) < set(window.batch_ids)
    assert window.records == 4
    assert window.traded_at_min == "2026-07-07T22:58:16.000001Z"
    assert window.traded_at_max == "2026-07-07T22:58:16.000501Z"


def test_closing_a_window_leaves_later_batches_open(run: Run) -> None:
    """What was loaded while dbt ran has not been transformed."""
    sealed_segment(run.spool, matches(2))
    run.load()
    window = open_window(run.warehouse)
    sealed_segment(run.spool, matches(2, first=500))
    run.load()
    assert window is not None

    close_window(run.warehouse, window, run_id="run")

    following = open_window(run.warehouse)
    assert following is not None
    assert set(following.batch_ids).isdisjoint(window.batch_ids)
    assert archive_segments(run.spool, run.warehouse, run.config) == {"archived": 1, "waiting": 1}


def test_a_backlog_is_loaded_in_bounded_batches(run: Run) -> None:
    """Seven segments in batches of at most three."""
    for number in range(7):
        write_segment(run.spool, matches(2, first=number * 10))
    run.seal()
    run.config = msgspec.structs.replace(run.config, batch_max_segments=3)

    assert run.load()["batches"] == 3

    assert len(run.rows()) == 14
    assert sorted(batch.segments for batch in run.warehouse.ledger.recent(10)) == [1, 3, 3]


def test_a_segment_that_breaks_the_format_does_not_hold_up_the_others(run: Run) -> None:
    """The step fails once, by name, after everything else is sealed; the next run goes on."""
    write_segment(run.spool, matches(2))
    broken = write_segment(run.spool, matches(2), streamer_id="streamer-2")
    (name,) = (name for name in run.spool.segments(State.SEALING) if name.session == broken)
    path = run.spool.path(name, State.SEALING)
    path.write_bytes(path.read_bytes().replace(b'"record_no":2', b'"record_no":3'))

    with pytest.raises(SegmentsQuarantined, match=name.file_name):
        run.seal()

    assert run.seal()["quarantined_in_total"] == 1
    assert run.load()["records"] == 2
    assert run.states() == {"loaded": 1, "quarantined": 1}


def test_a_second_loader_is_kept_out(run: Run) -> None:
    """It fails at once and touches nothing."""
    sealed_segment(run.spool, matches(2))

    with loader_lock(run.spool), pytest.raises(LoaderBusy):
        run.load()

    assert run.warehouse.ledger.recent(1) == []
    assert run.load()["records"] == 2


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\n"])
def test_a_segment_of_another_size_is_not_even_written_down(run: Run, change: Callable[[bytes], bytes]) -> None:
    """A batch that can never be loaded would block all that follow."""
    name = sealed_segment(run.spool, matches(2))
    path = run.spool.path(name, State.SEALED)
    path.chmod(0o644)
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(SegmentChanged, match=name.file_name):
        run.load()

    assert run.warehouse.ledger.recent(1) == []


def test_altered_bytes_of_the_same_size_stop_the_load(run: Run) -> None:
    """The hash is checked in the upload; the batch stays open until the right file is back."""
    name = sealed_segment(run.spool, matches(2))
    path = run.spool.path(name, State.SEALED)
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content.replace(b"63512", b"63513"))

    for _ in range(2):
        (fault,) = run.load()["faults"]
        assert name.file_name in fault
    assert run.rows() == []

    path.write_bytes(content)
    assert run.load()["recovered_batches"] == 1
    assert len(run.rows()) == 2


def test_a_segment_in_loaded_that_the_ledger_does_not_know_is_reported(run: Run) -> None:
    """The folder alone proves nothing; the proven ones are archived all the same."""
    sealed_segment(run.spool, matches(2))
    run.load()
    window = open_window(run.warehouse)
    assert window is not None
    close_window(run.warehouse, window, run_id="run")
    stray = sealed_segment(run.spool, matches(2))
    run.spool.mark_loaded(stray)

    with pytest.raises(SegmentsUnproven, match=stray.file_name):
        archive_segments(run.spool, run.warehouse, run.config)

    assert run.states() == {"loaded": 1, "archived": 1}


def test_the_same_name_with_other_bytes_is_never_taken_for_loaded(run: Run) -> None:
    """A segment that comes back changed under a loaded name is an operator's case."""
    name = sealed_segment(run.spool, matches(2))
    run.load()
    content = run.spool.path(name, State.LOADED).read_bytes()
    run.spool.path(name, State.SEALING).write_bytes(content.replace(b"63512", b"63513"))
    run.seal()

    with pytest.raises(SegmentChanged, match=name.file_name):
        run.load()

    assert len(run.rows()) == 2


def _recordings() -> list[Path]:
    return sorted(RECORDINGS.glob("*.ndjson")) if RECORDINGS.is_dir() else []


if _recordings():

    @pytest.mark.parametrize("recording", _recordings(), ids=lambda path: path.stem)
    def test_every_recorded_frame_arrives(run: Run, recording: Path) -> None:
        """Real traffic, level 2 snapshots included: one row a frame, trade for trade."""
        frames = [line for line in recording.read_bytes().split(b"\n") if line]
        write_segment(run.spool, frames)
        run.seal()

        assert run.load()["records"] == len(frames)

        types = [message_type for _, _, message_type in run.rows()]
        assert types == [msgspec.json.decode(frame)["type"] for frame in frames]
