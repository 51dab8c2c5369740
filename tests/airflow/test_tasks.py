"""What the Airflow side adds to the steps of the pipeline."""

from pathlib import Path

import pytest

from include.spool import RecordEncoder, SegmentWriter, Session, Spool


def write_segment(folder: Path, *, broken: bool) -> None:
    """One segment of a session, as a streamer leaves it; a broken one has a record number too many."""
    spool = Spool.open(folder, "simulated", create=True)
    session = Session.new("streamer-1", 1_767_225_600_000_000_000)
    encoder = RecordEncoder(session, lambda: 1_767_225_600_000_000_000)
    lines = [encoder.control("pulse_started", {}, 0).line for _ in range(3)]
    if broken:
        del lines[1]
    writer = SegmentWriter(spool, session, max_bytes=1 << 20, max_age_seconds=60)
    writer.write(b"".join(lines))
    writer.close()


@pytest.fixture
def spool_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The spool the tasks work on."""
    monkeypatch.setenv("PULSE_SOURCE", "simulated")
    monkeypatch.setenv("PULSE_SPOOL_DIR", str(tmp_path / "spool"))
    return tmp_path / "spool"


def test_sealing_reports_what_it_sealed(spool_dir: Path) -> None:
    """The task's XCom says how many segments and records went on."""
    from market_pulse.tasks import seal_segments

    write_segment(spool_dir, broken=False)

    outcome = seal_segments.function()

    assert (outcome["segments"], outcome["records"]) == (1, 3)


def test_a_quarantined_segment_is_not_retried_away(spool_dir: Path) -> None:
    """The task fails for good: a retry would find nothing new and hide the loss."""
    from airflow.sdk.exceptions import AirflowFailException

    from market_pulse.tasks import seal_segments

    write_segment(spool_dir, broken=True)

    with pytest.raises(AirflowFailException, match=r"\.reason\.json"):
        seal_segments.function()
