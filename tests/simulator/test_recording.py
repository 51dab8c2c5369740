"""Recordings are read verbatim, and what is no recording is named."""

from pathlib import Path

import pytest

from simulator.recording import RecordingError, read_recording, recorded_product_ids
from tests.simulator.running import command

MATCH = (
    '{"type":"match","trade_id":7,"maker_order_id":"2a0da34e-61f7-4c36-88e5-c9dd15927b16",'
    '"taker_order_id":"3c82abaa-c01e-4608-be59-6a1e69742891","side":"sell","size":"985","price":"0.00001305",'
    '"product_id":"SKL-BTC","sequence":177100030,"time":"2021-04-17T16:43:37.089723Z"}'
)
ACK = '{"type":"subscriptions","channels":[{"name":"level2","product_ids":["NU-GBP"]}]}'


def test_ndjson_frames_take_the_exchanges_time_so_far(tmp_path: Path) -> None:
    """Each line is one frame, spaces and all; times never decrease; blank lines are no frames."""
    path = tmp_path / "recording.ndjson"
    later, earlier = '{"time":"2021-04-17T16:43:38Z", "x": 1 }', '{"time":"2021-04-17T16:43:37.5Z"}'
    path.write_text(f"{ACK}\n{later}\n\n{earlier}\nnot json\n", encoding="utf-8")
    frames = list(read_recording(path))
    assert [frame.text for frame in frames] == [ACK, later, earlier, "not json"]
    assert [frame.at for frame in frames] == [None, 1618677818.0, 1618677818.0, 1618677818.0]


def test_cryptofeed_lines_give_received_frames_only(tmp_path: Path) -> None:
    """Connection headers, sent requests and REST replies are left out; the epoch is the receive time."""
    path = tmp_path / "COINBASE.ws.1.0"
    path.write_text(
        "https://api.pro.coinbase.com/products -> 1618677816.84: []\n"
        "wss://ws-feed.pro.coinbase.com <-> 1618677816.8434298\n"
        'wss://ws-feed.pro.coinbase.com <- 1618677817.02: {"type":"subscribe"}\n'
        f"1618677817.061845: {ACK}\n1618677817.1295161: {MATCH}\n\n\n",
        encoding="utf-8",
    )
    frames = list(read_recording(path))
    assert [(frame.at, frame.text) for frame in frames] == [(1618677817.061845, ACK), (1618677817.1295161, MATCH)]
    assert recorded_product_ids(path) == ["NU-GBP", "SKL-BTC"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"time,price\n1,2\n", "unknown format"),
        (b"1618677817.06: {}\nwhat is this\n", "line 2"),
        (b"\x1f\x8b\x08\x00compressed", "not UTF-8"),
        (b'{"type":"heartbeat"}\n', "no frame names a product"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, content: bytes, named: str) -> None:
    """The command ends with status 2; the message has the file and the reason."""
    path = tmp_path / "strange"
    path.write_bytes(content)
    ended = command("--products", str(path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert str(path) in ended.stderr
    assert named in ended.stderr


def test_a_missing_recording_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere is an error of reading, for the library and for the server."""
    with pytest.raises(RecordingError, match="No such file"):
        list(read_recording(tmp_path / "nowhere"))
    ended = command(replay_file=tmp_path / "nowhere", simulator_dir=tmp_path)
    assert ended.returncode == 2
    assert "nowhere" in ended.stderr


def test_products_are_printed_for_launchers(tmp_path: Path) -> None:
    """One line, comma-separated, sorted."""
    path = tmp_path / "recording.ndjson"
    path.write_text(f"{ACK}\n{MATCH}\n", encoding="utf-8")
    ended = command("--products", str(path))
    assert (ended.returncode, ended.stdout) == (0, "NU-GBP,SKL-BTC\n")
