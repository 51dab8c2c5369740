"""Real traffic against the contracts; collected where the recordings are."""

import json
import re
from pathlib import Path

import pytest

from include.coinbase.contract import Contracts
from tests.coinbase.conftest import RECORDINGS


def frames_of(path: Path) -> list[bytes]:
    """The frames received in a recording: bare ones, or `epoch: frame`; frames sent carry an address instead."""
    lines = path.read_bytes().splitlines()
    if path.suffix == ".ndjson":
        return lines
    return [match[1] for line in lines if (match := re.fullmatch(rb"[0-9.]+: (.*)", line))]


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("exchange_*")), ids=lambda path: path.name)
def test_recorded_traffic_keeps_the_contracts(path: Path) -> None:
    """Every frame of every recording, of 2021 as of 2026, is recognised and deviates in nothing."""
    contracts = Contracts.load()
    frames = frames_of(path)

    messages = [contracts.recognise(frame) for frame in frames]

    assert frames
    assert [frame[:200] for frame, message in zip(frames, messages, strict=True) if message is None] == []
    assert contracts.misfits(messages) == []
    assert [deviation for frame in frames for deviation in contracts.deviations(json.loads(frame)["type"], frame)] == []
