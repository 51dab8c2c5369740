"""The last trades of earlier sessions, read back from the spool."""

from pathlib import Path

import pytest

from include.spool import Archive, RecordEncoder, SegmentWriter, Session, Spool, State, seal_all
from streamer.positions import last_positions
from tests.streamer.support.exchange import heartbeat_frame, match_frame

BTC, ETH = "BTC-USD", "ETH-USD"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool.open(tmp_path / "spool", "simulated", create=True)


def write(
    spool: Spool, *frames: bytes, day: int = 7, streamer_id: str = "streamer-1", stop: bool = True, run: int = 0
) -> None:
    """One session with one segment; left in active/, as after a kill, unless it stops."""
    session = Session(streamer_id, f"202607{day:02d}T000000Z-{run:08x}")
    writer = SegmentWriter(spool, session, 10**9, 3600)
    encoder = RecordEncoder(session, lambda: 1_783_465_096_000_000_000 + day * 86_400_000_000_000)
    writer.write(b"".join(encoder.frame(frame, 1).line for frame in frames))
    writer.sync()
    if stop:
        writer.close()


def last_match_frame(trade_id: int, product_id: str = BTC) -> bytes:
    """The newest trade before a subscription."""
    return match_frame(trade_id, product_id).replace(b'"match"', b'"last_match"')


def advance(spool: Spool, to: State) -> None:
    """Take everything on its way, to some state."""
    seal_all(spool, 1.0)
    if to in (State.LOADED, State.ARCHIVED):
        for name in spool.segments(State.SEALED):
            spool.mark_loaded(name)
    if to is State.ARCHIVED:
        for name in spool.segments(State.LOADED):
            Archive.in_spool(spool).take(spool, name)


def last_trade_ids(spool: Spool, streamer_id: str, products: list[str], **options: int) -> dict[str, int]:
    """Only where the trades ended."""
    return last_positions(spool, streamer_id, products, **options).last_trade_ids


def test_empty_spool_knows_nothing(spool: Spool) -> None:
    """No knowledge."""
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {}


@pytest.mark.parametrize("state", [state for state in State if state is not State.QUARANTINED])
def test_last_trade_is_found_in_every_state(spool: Spool, state: State) -> None:
    """Of each product; heartbeats, whatever they say, are not trades."""
    write(
        spool,
        match_frame(7),
        last_match_frame(3, ETH),
        match_frame(8),
        heartbeat_frame(20),
        stop=state is not State.ACTIVE,
    )
    if state not in (State.ACTIVE, State.SEALING):
        advance(spool, state)
    assert spool.segments(state)
    assert last_trade_ids(spool, "streamer-1", [BTC, ETH]) == {BTC: 8, ETH: 3}


def test_newest_session_counts(spool: Spool) -> None:
    """Also when its ids are lower; a product that it does not have comes from the one before."""
    write(spool, match_frame(900), match_frame(50, ETH), day=6)
    advance(spool, State.ARCHIVED)
    write(spool, match_frame(100), day=7)
    assert last_trade_ids(spool, "streamer-1", [BTC, ETH]) == {BTC: 100, ETH: 50}


def test_sessions_of_one_second_are_told_apart(spool: Spool) -> None:
    """A supervisor is quick; what follows the second in a session's id is chance."""
    write(spool, match_frame(100), run=2)
    write(spool, match_frame(110), run=1)
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {BTC: 110}


def test_redundant_connection_that_is_late_does_not_take_the_position_back(spool: Spool) -> None:
    """The greatest of the newest ids counts, not the last one in the file."""
    write(spool, match_frame(100), match_frame(101), match_frame(100))
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {BTC: 101}


def test_other_streamers_do_not_count(spool: Spool) -> None:
    """Each captures on its own; an id that begins like ours is another one."""
    write(spool, match_frame(100), streamer_id="streamer-10")
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {}


def test_torn_tail_and_foreign_files_are_passed_over(spool: Spool) -> None:
    """What a killed writer or a careless operator leaves."""
    write(spool, match_frame(100), b"{torn", match_frame(101, "X" * 2_000_000), b"\xff", stop=False)
    path = spool.path(spool.segments(State.ACTIVE)[0], State.ACTIVE)
    with path.open("ab") as file:
        file.write(b'{"received_at":"2026","type":"match","trade_id":999,"product_id":"BTC-U')
    (spool.folder(State.LOADED) / "streamer-1.notes.ndjson").write_bytes(match_frame(5))
    (spool.folder(State.ARCHIVED) / "README").write_text("")
    assert last_trade_ids(spool, "streamer-1", [BTC])[BTC] == 100


def test_known_members_of_other_types_are_passed_over(spool: Spool) -> None:
    """Such a frame is recorded, but says nothing about positions."""
    write(
        spool,
        match_frame(100),
        b'{"type":"match","trade_id":"101","product_id":"BTC-USD"}',
        b'{"type":"match","trade_id":102}',
        b'{"type":"match","product_id":"BTC-USD"}',
    )
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {BTC: 100}


def test_no_more_is_read_than_allowed(spool: Spool) -> None:
    """The newest bytes count; what lies before them stays unknown."""
    write(spool, match_frame(50, ETH), day=6)
    write(spool, match_frame(1, ETH), *(match_frame(number) for number in range(1000)))
    assert last_trade_ids(spool, "streamer-1", [BTC, ETH], max_bytes=100_000) == {BTC: 999}


def test_reading_ends_with_the_last_product(spool: Spool) -> None:
    """A position that nobody asked for may stay unknown; rules that name no product read on."""
    write(spool, match_frame(50, ETH), day=6)
    write(spool, match_frame(100), day=7)
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {BTC: 100}
    assert last_trade_ids(spool, "streamer-1", ["all"]) == {BTC: 100, ETH: 50}


def write_records(spool: Spool, *records: bytes | tuple[str, int, int], day: int = 7) -> None:
    """One session that was killed: frames, and gaps of BTC that were opened or closed."""
    session = Session("streamer-1", f"202607{day:02d}T000000Z-00000000")
    writer = SegmentWriter(spool, session, 10**9, 3600)
    encoder = RecordEncoder(session, lambda: 1_783_465_096_000_000_000 + day * 86_400_000_000_000)
    for record in records:
        if isinstance(record, bytes):
            writer.write(encoder.frame(record, 1).line)
            continue
        kind, first, last = record
        names = ("first_missing", "last_missing") if kind == "pulse_gap" else ("first", "last")
        detail = dict(zip(names, (first, last), strict=True)) | {"detected_by": "trade_id"}
        writer.write(encoder.control(kind, detail, 1, BTC).line)
    writer.sync()
    writer.close()


@pytest.mark.parametrize("state", [State.SEALING, State.ARCHIVED])
def test_what_was_missing_at_the_end_is_found(spool: Spool, state: State) -> None:
    """Gaps on record less what came later: whole ones, ends and middles."""
    write_records(
        spool,
        match_frame(10),
        ("pulse_gap", 11, 19),
        match_frame(20),
        ("pulse_gap_closed", 11, 11),
        ("pulse_gap_closed", 15, 15),
        ("pulse_gap", 21, 21),
        ("pulse_gap_closed", 21, 21),
        ("pulse_gap", 22, 22),
    )
    if state is State.ARCHIVED:
        advance(spool, state)

    assert last_positions(spool, "streamer-1", [BTC]) == ({BTC: 20}, {BTC: [(12, 14), (16, 19), (22, 22)]})


def test_what_a_later_session_closed_is_not_missing(spool: Spool) -> None:
    """Whichever session it was that opened the gap."""
    write_records(spool, match_frame(50, ETH), match_frame(10), ("pulse_gap", 11, 12), day=6)
    write_records(spool, match_frame(13), ("pulse_gap_closed", 12, 12), day=7)

    assert last_positions(spool, "streamer-1", [BTC, ETH]).missing == {BTC: [(11, 11)]}


def test_segment_that_moves_meanwhile_is_found(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline goes on while the spool is read."""
    write(spool, match_frame(100))
    listed = Spool.path

    def move_first(self: Spool, name: object, state: State) -> Path:
        monkeypatch.undo()
        advance(spool, State.ARCHIVED)
        return listed(self, name, state)  # type: ignore[arg-type]

    monkeypatch.setattr(Spool, "path", move_first)
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {BTC: 100}
    assert spool.segments(State.ARCHIVED)


def test_segment_that_an_earlier_release_archived_is_read(spool: Spool) -> None:
    """As it was, not compressed."""
    write(spool, match_frame(100))
    advance(spool, State.LOADED)
    name = spool.segments(State.LOADED)[0]
    day = spool.folder(State.ARCHIVED) / "2026-07-07"
    day.mkdir()
    spool.path(name, State.LOADED).rename(day / name.file_name)
    assert last_trade_ids(spool, "streamer-1", [BTC]) == {BTC: 100}


def test_damaged_archive_is_not_known(spool: Spool) -> None:
    """What is newer than the damage counts all the same."""
    write(spool, match_frame(50, ETH), day=6)
    advance(spool, State.ARCHIVED)
    archived = spool.path(spool.segments(State.ARCHIVED)[0], State.ARCHIVED)
    archived.chmod(0o644)
    archived.write_bytes(b"\0" * 100)
    write(spool, match_frame(100))
    assert last_trade_ids(spool, "streamer-1", [BTC, ETH]) == {BTC: 100}


def test_spool_without_its_folders_knows_nothing(tmp_path: Path) -> None:
    """What cannot be read is not known, and no reason not to capture."""
    assert last_trade_ids(Spool(tmp_path, "simulated"), "streamer-1", [BTC]) == {}
