"""Drift: messages that differ from their contracts are sealed, and the manifest says how they differ."""

import json
from collections.abc import Callable

import msgspec
import pytest

from include.coinbase.contract import Contracts
from include.spool import Manifest, RecordEncoder, SealKind, SegmentName, Spool, State, seal
from include.spool.drift import MAX_ENTRIES, Drift

CONTRACTS = Contracts.load()
TICKER = {
    "type": "ticker", "sequence": 7, "product_id": "BTC-USD", "price": "1.5", "open_24h": "1", "volume_24h": "1",
    "low_24h": "1", "high_24h": "1", "volume_30d": "1", "best_bid": "1", "best_ask": "1", "side": "buy",
    "time": "2026-07-07T22:58:16.123456Z", "trade_id": 1, "last_size": "1",
}  # fmt: skip

SealFrames = Callable[[list[bytes]], Manifest]


def changed(frame: bytes, **members: object) -> bytes:
    """The frame with these members replaced or added; those given as None removed."""
    merged = json.loads(frame) | members
    return json.dumps({name: value for name, value in merged.items() if value is not None}).encode()


@pytest.fixture
def seal_frames(spool: Spool, encoder: RecordEncoder, put_sealing: Callable[..., SegmentName]) -> SealFrames:
    """Records frames, seals them against the contracts and gives back the manifest as it was written."""

    def run(frames: list[bytes]) -> Manifest:
        name = put_sealing(b"".join(encoder.frame(frame, 1).line for frame in frames))
        outcome = seal(spool, name, 0, inspector=CONTRACTS)
        assert outcome.kind is SealKind.SEALED
        manifest = spool.manifest(name, State.SEALED)
        assert manifest == outcome.manifest
        assert manifest.records == len(frames)
        return manifest

    return run


def test_messages_that_keep_their_contracts_do_not_drift(
    seal_frames: SealFrames, matches: Callable[[int], list[bytes]]
) -> None:
    """Neither do records that are no messages."""
    frames = [changed(frame, taker_order_id="8e4e0d2c-5b5e-4b0f-8b5b-0d4f8a5f2b12") for frame in matches(3)]

    assert seal_frames([*frames, json.dumps(TICKER).encode(), b"not json", b"\xff"]).drift == []


def test_drift_is_counted_by_field(seal_frames: SealFrames) -> None:
    """Each field has its count, the first line and the value in it, as sent."""
    good = json.dumps(TICKER).encode()
    frames = [
        good,
        changed(good, fee=[1, {"a": None}]),
        changed(good, price=1.5),
        changed(good, price="1.5.5", fee="later"),
        changed(good, side=None),
        good,
        changed(good, side=None, price=2),
    ]

    assert seal_frames(frames).drift == [
        Drift("ticker", "fee", "new", 2, 2, '[1, {"a": null}]'),
        Drift("ticker", "price", "changed", 3, 3, "1.5"),
        Drift("ticker", "side", "missing", 2, 5, None),
    ]


@pytest.mark.parametrize("trade_id", ["825468236", "8e4e0d2c-5b5e-4b0f-8b5b-0d4f8a5f2b11", 1.5, 2**63])
def test_sealing_goes_on_where_a_typed_column_cannot_hold_a_value(
    seal_frames: SealFrames, matches: Callable[[int], list[bytes]], trade_id: object
) -> None:
    """An incompatible change is sealed with all other lines, and shows as a changed field."""
    good = [changed(frame, taker_order_id="8e4e0d2c-5b5e-4b0f-8b5b-0d4f8a5f2b12") for frame in matches(3)]

    manifest = seal_frames([*good, changed(good[0], trade_id=trade_id), *good])

    assert manifest.types == {"match": 7}
    assert manifest.drift == [Drift("match", "trade_id", "changed", 1, 4, json.dumps(trade_id))]


def test_a_type_without_contract_is_new_altogether(seal_frames: SealFrames) -> None:
    """Its name is shown as the field `type`."""
    assert seal_frames([b'{"type":"auction","product_id":"BTC-USD"}'] * 2).drift == [
        Drift("auction", "product_id", "new", 2, 1, '"BTC-USD"'),
        Drift("auction", "type", "new", 2, 1, '"auction"'),
    ]


@pytest.mark.parametrize("name", ["Record_No", "Batch_Id", "EXTRA", "Undecodable", "Type", "Price"])
def test_a_name_in_another_case_is_a_new_member(seal_frames: SealFrames, name: str) -> None:
    """A warehouse that ignores case would take it for another member of the line: it is listed, so that the load can
    keep them apart."""
    manifest = seal_frames([changed(json.dumps(TICKER).encode(), **{name: 1})])

    assert manifest.types == {"ticker": 1}
    assert manifest.drift == [Drift("ticker", name, "new", 1, 1, "1")]


@pytest.mark.parametrize("length", [900, 1100, 3_000_000])
def test_a_frame_of_any_length_and_alphabet_is_compared(seal_frames: SealFrames, length: int) -> None:
    """Long frames, and those that are not ASCII, take another way to the same result."""
    frames = [
        json.dumps({"type": "error", "message": "é" * length}, ensure_ascii=False).encode(),
        json.dumps({"type": "error", "message": "e" * length}).encode(),
        json.dumps({"type": "error", "message": "e" * length, "more": 1}).encode(),
    ]

    assert seal_frames(frames).drift == [Drift("error", "more", "new", 1, 3, "1")]


def test_drift_is_bounded(seal_frames: SealFrames) -> None:
    """What has no place is counted by kind, under a type that no message has; texts are cut."""
    frames = [changed(b'{"type":"error","message":"a"}', **{f"f{number:04d}" + "x" * 999: 1}) for number in range(500)]
    frames += [b'{"type":"error"}'] * 3 + [b'{"type":"error","message":"a","long":"%b"}' % (b"x" * 999)]

    drift = seal_frames(frames).drift

    assert len(drift) == MAX_ENTRIES + 2
    assert sum(entry.count for entry in drift) == 504
    others = [(entry.kind, entry.count, entry.first_line_no) for entry in drift if entry.type == "pulse_other"]
    assert others == [("missing", 3, 501), ("new", 401, 101)]
    assert max(len(entry.field) for entry in drift) == 200


def test_examples_are_cut(seal_frames: SealFrames) -> None:
    """Two hundred characters of a value are kept, whatever its length."""
    (entry,) = seal_frames([b'{"type":"error","message":"a","long":"%b"}' % (b"x" * 2_000_000)]).drift

    assert entry.example == '"' + "x" * 199


def test_first_lines_are_right_across_chunks(seal_frames: SealFrames) -> None:
    """Lines are counted through the whole segment, however it is read; the first line is the first of all."""
    good = json.dumps(TICKER).encode()
    frames = [good] * 4000
    frames[3000] = changed(good, price="later")
    frames[3001] = changed(good, price=1)

    assert seal_frames(frames).drift == [Drift("ticker", "price", "changed", 2, 3001, '"later"')]


def test_a_manifest_from_before_drift_is_read(
    spool: Spool, encoder: RecordEncoder, put_sealing: Callable[..., SegmentName]
) -> None:
    """The key may be missing; then nothing drifted."""
    name = put_sealing(encoder.frame(b'{"type":"auction"}', 1).line)
    seal(spool, name, 0, inspector=CONTRACTS)
    path = spool.manifest_path(name, State.SEALED)
    written = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({key: value for key, value in written.items() if key != "drift"}))

    assert spool.manifest(name, State.SEALED).drift == []
