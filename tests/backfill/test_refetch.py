"""Lanes against a real exchange and a real spool: killed, refused, failing; what is sealed equals the truth."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from include.coinbase.contract import Contracts
from include.config import BackfillConfig
from include.pipeline.backfill.refetch import refetch_lane
from include.pipeline.backfill.state import Piece, RunFolder
from include.pipeline.backfill.waiting import SegmentSetAside, on_their_way, rest_bytes
from include.spool import SealKind, Spool, SpoolLocked, State, seal_all
from tests.backfill.conftest import RUN, Exchange, planned
from tests.streamer.support.waiting import eventually

REPOSITORY = Path(__file__).parents[2]
#: A lane in a process of its own, to be killed.
LANE = """
import sys
from pathlib import Path
from include.config import BackfillConfig
from include.pipeline.backfill.refetch import refetch_lane
from include.spool import Spool

spool = Spool.open(Path(sys.argv[1]), "simulated", create=False)
config = BackfillConfig(rest_url=sys.argv[2], backfill_requests_per_second=sys.argv[4])
refetch_lane(spool, config, run_id=sys.argv[3], lane=1)
"""


def sealed_records(spool: Spool) -> list[dict[str, Any]]:
    """Every record, sealed and read from the files."""
    report = seal_all(spool, timeout_seconds=5, inspector=Contracts.load())
    assert report.of(SealKind.QUARANTINED) == []
    manifests = [spool.manifest(name, State.SEALED) for name in spool.segments(State.SEALED)]
    assert all(manifest.drift == [] for manifest in manifests)
    texts = [spool.path(name, State.SEALED).read_text() for name in spool.segments(State.SEALED)]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def trades(records: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """As often as each is there."""
    return Counter(
        (r["product_id"], r["trade_id"], r["price"], r["size"], r["side"], r["time"])
        for r in records
        if r["type"] == "rest_trade"
    )


def made(exchange: Exchange, piece: Piece) -> set[tuple[Any, ...]]:
    """The truth of a piece, in the listing's number format."""
    return {
        (piece.product_id, t["trade_id"], _padded(t["price"]), _padded(t["size"]), t["maker_side"], t["time"])
        for t in exchange.truth(piece.product_id)
        if piece.first <= t["trade_id"] <= piece.last
    }


def _padded(decimal: str) -> str:
    whole, _, fraction = decimal.partition(".")
    return f"{whole}.{fraction:0<8}"


def test_a_lane_brings_every_trade_once(exchange: Exchange, config: BackfillConfig, spool: Spool) -> None:
    """Two pieces, cut at odd places: the sealed segments hold the truth, keep their contract, and cover its times."""
    pieces = [Piece("BTC-USD", 17, 4_242), Piece("ETH-USD", 1, 999)]
    planned(spool, config, *pieces)

    outcome = refetch_lane(spool, config, run_id=RUN, lane=1)

    records = sealed_records(spool)
    expected = set.union(*(made(exchange, piece) for piece in pieces))
    assert trades(records) == Counter(expected)
    assert outcome["found"] == len(expected)
    assert outcome["requests"] == 5 + 1
    manifests = [spool.manifest(name, State.SEALED) for name in spool.segments(State.SEALED)]
    assert min(manifest.traded_at_min or "" for manifest in manifests) == min(trade[5] for trade in expected)
    assert max(manifest.traded_at_max or "" for manifest in manifests) == max(trade[5] for trade in expected)
    assert {name.streamer_id for name in spool.segments(State.SEALED)} == {"rest-1"}


def test_a_lane_that_is_done_does_nothing(exchange: Exchange, config: BackfillConfig, spool: Spool) -> None:
    """A task that is cleared after all was fetched sends no request and writes no segment."""
    planned(spool, config, Piece("BTC-USD", 1, 10))
    first = refetch_lane(spool, config, run_id=RUN, lane=1)
    before = trades(sealed_records(spool))

    assert refetch_lane(spool, config, run_id=RUN, lane=1) == first
    assert trades(sealed_records(spool)) == before


async def test_a_killed_lane_goes_on_and_repeats_one_page_at_most(
    exchange: Exchange, config: BackfillConfig, spool: Spool
) -> None:
    """kill -9 again and again: in the end all is there, and what is there twice is a page a kill, no more."""
    piece = Piece("BTC-USD", 1, 6_500)
    planned(spool, config, piece)
    folder = RunFolder(spool, RUN)
    kills = 0
    while not folder.read_lane(1).is_done:
        reached = folder.read_lane(1).reached
        lane = subprocess.Popen([sys.executable, "-c", LANE, str(spool.root), exchange.url, RUN, "20"], cwd=REPOSITORY)
        await eventually(
            lambda reached=reached, lane=lane: folder.read_lane(1).reached >= reached + 2_000 or lane.poll() is not None
        )
        if lane.poll() is None:
            lane.kill()
            kills += 1
        lane.wait()

    found = trades(sealed_records(spool))
    assert kills >= 2
    assert set(found) == made(exchange, piece)
    assert found.total() - len(found) <= 1_000 * kills


def test_storms_of_429_and_500_are_weathered(exchange: Exchange, config: BackfillConfig, spool: Spool) -> None:
    """Refused and failed requests are repeated; nothing is lost, nothing comes twice, and both are counted."""
    piece = Piece("ETH-USD", 1, 3_000)
    planned(spool, config, piece)
    exchange.inject(status=429, count=1, retry_after_seconds=1)
    exchange.inject(status=500, count=1)

    outcome = refetch_lane(spool, config, run_id=RUN, lane=1)

    assert trades(sealed_records(spool)) == Counter(made(exchange, piece))
    assert (outcome["refused_429"], outcome["failed_requests"], outcome["requests"]) == (1, 1, 3 + 2)


def test_two_processes_never_write_one_lane(exchange: Exchange, config: BackfillConfig, spool: Spool) -> None:
    """A task that was given up but still runs keeps the next try out, as a second streamer of one id is."""
    planned(spool, config, Piece("BTC-USD", 1, 10))
    with spool.lock_streamer("rest-1"), pytest.raises(SpoolLocked):
        refetch_lane(spool, config, run_id=RUN, lane=1)


async def test_a_lane_lets_the_sealer_have_its_segment(
    exchange: Exchange, config: BackfillConfig, spool: Spool
) -> None:
    """While the exchange refuses everything, the segment is sealed without waiting for the writer."""
    planned(spool, config, Piece("BTC-USD", 1, 6_000))
    lane = subprocess.Popen([sys.executable, "-c", LANE, str(spool.root), exchange.url, RUN, "20"], cwd=REPOSITORY)
    try:
        await eventually(lambda: RunFolder(spool, RUN).read_lane(1).reached >= 2_000)
        exchange.inject(status=429, count=None)
        report = seal_all(spool, timeout_seconds=3)
        assert report.of(SealKind.BUSY) == []
        assert len(report.of(SealKind.SEALED)) == 1
    finally:
        lane.kill()
        lane.wait()


def test_what_is_on_its_way_is_seen_in_the_spool(exchange: Exchange, config: BackfillConfig, spool: Spool) -> None:
    """Segments of the run's sessions, until they leave loaded/; those of others do not count."""
    planned(spool, config, Piece("BTC-USD", 1, 2_000))
    refetch_lane(spool, config, run_id=RUN, lane=1)
    (session,) = RunFolder(spool, RUN).read_lane(1).sessions

    assert on_their_way(spool, [session]) == {"sealing": 1}
    assert on_their_way(spool, ["20260707T225816Z-00000000"]) == {}
    assert rest_bytes(spool) > 2_000 * 200
    seal_all(spool, timeout_seconds=5)
    (name,) = spool.segments(State.SEALED)
    spool.mark_loaded(name)
    assert on_their_way(spool, [session]) == {"loaded": 1}
    spool.drop_archived(name)
    assert on_their_way(spool, [session]) == {}
    assert rest_bytes(spool) == 0


def test_a_segment_in_quarantine_ends_the_waiting(spool: Spool) -> None:
    """It will not come by itself, so somebody is told."""
    name = "rest-1.20260707T225816Z-3f9a2c41.000001.v1.ndjson"
    (spool.folder(State.QUARANTINED) / name).write_bytes(b"{}\n")
    with pytest.raises(SegmentSetAside, match=r"reason\.json"):
        on_their_way(spool, ["20260707T225816Z-3f9a2c41"])
