"""Composing batches, and the ids that derive from their content."""

import itertools
from collections.abc import Callable
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from include.spool import Manifest
from include.warehouse.batches import Batch, BatchSegment, compose

TABLE = "market-pulse.pulse_raw.messages"
INSTANTS = st.integers(0, 59).map("2026-07-07T22:58:{:02d}.000000Z".format)


@st.composite
def manifests(draw: st.DrawFn) -> list[Manifest]:
    """Segments of up to three sessions, of any size, received in any order."""
    keys = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), unique=True, max_size=25))
    return [_manifest(session, number, draw(st.integers(1, 5000)), draw(INSTANTS)) for session, number in keys]


def _manifest(session: str, number: int, size: int, received_at: str) -> Manifest:
    session_id = f"20260707T225816Z-{session * 8}"
    return Manifest(
        format_version=1,
        segment=f"streamer-1.{session_id}.{number:06d}.v1.ndjson",
        source="live",
        streamer_id="streamer-1",
        session_id=session_id,
        segment_no=number,
        records=1,
        bytes=size,
        first_record_no=number,
        last_record_no=number,
        sha256=f"{number:064x}",
        received_at_min=received_at,
        received_at_max=received_at,
        traded_at_min=None,
        traded_at_max=None,
        types={"match": 1},
        product_ids=["BTC-USD"],
        torn_bytes=0,
        sealed_at="2026-07-07T23:00:00.000000Z",
    )


@given(manifests(), st.integers(1, 10_000), st.integers(1, 10))
def test_every_segment_is_in_exactly_one_batch(items: list[Manifest], max_bytes: int, max_segments: int) -> None:
    """Nothing is left out, nothing is taken twice."""
    batches = compose(items, table_id=TABLE, max_bytes=max_bytes, max_segments=max_segments)

    packed = [segment.segment for batch in batches for segment in batch.segments]
    assert sorted(packed) == sorted(item.segment for item in items)


@given(manifests(), st.integers(1, 10_000), st.integers(1, 10))
def test_a_batch_keeps_its_bounds_unless_one_segment_passes_them(
    items: list[Manifest], max_bytes: int, max_segments: int
) -> None:
    """A segment larger than a batch may be still goes, alone."""
    for batch in compose(items, table_id=TABLE, max_bytes=max_bytes, max_segments=max_segments):
        assert 1 <= len(batch.segments) <= max_segments
        assert batch.bytes <= max_bytes or len(batch.segments) == 1


@given(manifests(), st.integers(1, 10_000), st.integers(1, 10))
def test_a_batch_is_not_closed_while_the_next_segment_fits(
    items: list[Manifest], max_bytes: int, max_segments: int
) -> None:
    """Load jobs are counted by the day: no more batches than needed in this order."""
    batches = compose(items, table_id=TABLE, max_bytes=max_bytes, max_segments=max_segments)

    for batch, following in itertools.pairwise(batches):
        fits = len(batch.segments) < max_segments and batch.bytes + following.segments[0].bytes <= max_bytes
        assert not fits


@given(manifests(), st.randoms())
def test_batches_do_not_depend_on_the_order_of_the_folder(items: list[Manifest], random: Random) -> None:
    """The same segments give the same batches, hence the same job ids, after any crash."""
    shuffled = list(items)
    random.shuffle(shuffled)

    assert compose(shuffled, table_id=TABLE, max_bytes=5000, max_segments=3) == compose(
        items, table_id=TABLE, max_bytes=5000, max_segments=3
    )


@given(manifests())
def test_the_oldest_receipt_goes_first(items: list[Manifest]) -> None:
    """A backlog drains in the order it arrived."""
    batches = compose(items, table_id=TABLE, max_bytes=3000, max_segments=4)

    received = [segment.received_at_min for batch in batches for segment in batch.segments]
    assert received == sorted(received)


def test_the_batch_id_is_pinned() -> None:
    """Ids of batches in flight must survive an upgrade of this code."""
    batch = Batch(source="live", table_id=TABLE, segments=(BatchSegment.of(_manifest("a", 1, 10, "x")),))

    assert batch.batch_id == "014423b4af8dcf8ad1ea1ed0fa008a7e"
    assert batch.job_id(2) == "pulse_load_014423b4af8dcf8ad1ea1ed0fa008a7e_2"


def test_the_batch_id_changes_with_content_order_and_table(manifest: Callable[..., Manifest]) -> None:
    """Other bytes, another order or another table is another batch."""
    one, two = BatchSegment.of(manifest()), BatchSegment.of(manifest())
    batch = Batch(source="live", table_id=TABLE, segments=(one, two))
    others = [
        msgspec.structs.replace(batch, segments=(two, one)),
        msgspec.structs.replace(batch, segments=(one,)),
        msgspec.structs.replace(batch, table_id="market-pulse.pulse_sim_raw.messages"),
        msgspec.structs.replace(batch, segments=(msgspec.structs.replace(one, sha256="0" * 64), two)),
    ]

    assert len({batch.batch_id, *(other.batch_id for other in others)}) == 5


def test_the_range_of_trades_ignores_segments_without_any(manifest: Callable[..., Manifest]) -> None:
    """A segment of heartbeats only does not widen or break the range."""
    silent = BatchSegment.of(manifest(traded_at_min=None, traded_at_max=None))
    trading = BatchSegment.of(manifest())

    both = Batch(source="live", table_id=TABLE, segments=(silent, trading))
    alone = Batch(source="live", table_id=TABLE, segments=(silent,))

    assert (both.traded_at_min, both.traded_at_max) == (trading.traded_at_min, trading.traded_at_max)
    assert (alone.traded_at_min, alone.traded_at_max) == (None, None)
    assert (both.received_at_min, both.received_at_max) == (silent.received_at_min, trading.received_at_max)
