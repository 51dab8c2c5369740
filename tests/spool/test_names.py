"""Names of sessions and segments."""

import pytest

from include.spool import InvalidName, SegmentName, Session, UnknownFormat

FILE_NAME = "streamer-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson"


@pytest.mark.parametrize("segment_no", [1, 42, 999_999, 1_000_000, 12_345_678])
def test_a_name_survives_the_round_trip(segment_no: int) -> None:
    """What parse reads from a file name is what made it, also past six digits."""
    name = SegmentName("streamer-1", "20260707T225816Z-3f9a2c41", segment_no)

    assert SegmentName.parse(name.file_name) == name


@pytest.mark.parametrize(
    "file_name",
    [
        "",
        "streamer-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson.manifest.json",
        "Streamer.20260707T225816Z-3f9a2c41.000001.v1.ndjson",
        "-a.20260707T225816Z-3f9a2c41.000001.v1.ndjson",
        "a.b.20260707T225816Z-3f9a2c41.000001.v1.ndjson",
        "a.20260707T225816-3f9a2c41.000001.v1.ndjson",
        "a.20260707T225816Z-3F9A2C41.000001.v1.ndjson",
        "a.20260707T225816Z-3f9a2c41.00001.v1.ndjson",
        "a.20260707T225816Z-3f9a2c41.000000.v1.ndjson",
        "a.20260707T225816Z-3f9a2c41.0000001.v1.ndjson",
        "a.20260707T225816Z-3f9a2c41.000001.v1.ndjson\n",
        "a.20260707T225816Z-3f9a2c41.000001.v01.ndjson",
        "a.20260707T225816Z-3f9a2c41.000001.ndjson",
        "a" * 41 + ".20260707T225816Z-3f9a2c41.000001.v1.ndjson",
    ],
)
def test_other_names_are_refused(file_name: str) -> None:
    """A name that the specification does not allow is not taken for a segment's."""
    with pytest.raises(InvalidName):
        SegmentName.parse(file_name)


@pytest.mark.parametrize("version", ["0", "2", "10"])
def test_an_unknown_version_is_refused(version: str) -> None:
    """A segment of a later format is not read by a guess."""
    with pytest.raises(UnknownFormat):
        SegmentName.parse(f"streamer-1.20260707T225816Z-3f9a2c41.000001.v{version}.ndjson")


def test_segments_sort_by_session_then_number() -> None:
    """The order is that of writing, also past six digits and across streamers."""
    ordered = [
        SegmentName("b", "20260707T225816Z-00000000", 1),
        SegmentName("b", "20260707T225816Z-00000000", 999_999),
        SegmentName("b", "20260707T225816Z-00000000", 1_000_000),
        SegmentName("a", "20260707T225817Z-00000000", 2),
    ]

    assert sorted(reversed(ordered)) == ordered


def test_sessions_are_named_by_their_start_and_differ() -> None:
    """Two sessions that start in the same second have different ids."""
    first, second = (Session.new("streamer-1", 1_783_465_096_999_999_999) for _ in range(2))

    assert first.session_id.startswith("20260707T225816Z-")
    assert first != second


@pytest.mark.parametrize("streamer_id", ["", "A", "a.b", "a_b", "-a", "a" * 41, "a\n", "é"])
def test_invalid_streamer_ids_are_refused(streamer_id: str) -> None:
    """A streamer id that would break a file name or a line is refused at once."""
    with pytest.raises(InvalidName):
        Session.new(streamer_id, 0)
