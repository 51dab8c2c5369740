"""What the simulator did, held against what the spool holds."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable

from tests.simulator.running import Message, Simulator
from tests.streamer.support.spool_view import Line

TRADES = ("match", "last_match")


async def opened(simulator: Simulator) -> int:
    """Connections so far; they are numbered from 1."""
    number: int = (await simulator.get("/status"))["connections_opened"]
    return number


async def sent_since(simulator: Simulator, before: int) -> list[list[bytes]]:
    """The whole frames sent to each connection after the first `before` ones; not those cut in the middle."""
    numbers = range(before + 1, await opened(simulator) + 1)
    return [[_bytes(entry) for entry in await simulator.sent(n) if "cut" not in entry] for n in numbers]


def _bytes(entry: Message) -> bytes:
    if "base64" in entry:
        return b64decode(entry["base64"])
    frame: str = entry["frame"]
    return frame.encode()


def stored_by_connection(lines: Iterable[Line]) -> dict[int, list[bytes]]:
    """The frames of each connection of one session."""
    stored: dict[int, list[bytes]] = {}
    for line in lines:
        if line.type == "pulse_connected":
            stored[line.connection_no] = []
        elif line.frame is not None:
            stored[line.connection_no].append(line.frame)
    return stored


def is_prefix(stored: list[bytes], sent: list[bytes]) -> bool:
    """Whether these are the first frames that were sent, but for line breaks, which the spool keeps as spaces."""
    return len(stored) <= len(sent) and all(
        frame in (original, original.replace(b"\n", b" ")) for frame, original in zip(stored, sent, strict=False)
    )


def net_gaps(lines: Iterable[Line], product_id: str) -> Counter[int]:
    """The ids that the gap records of a product leave missing."""
    missing: Counter[int] = Counter()
    for line in lines:
        if line.product_id == product_id and line.type == "pulse_gap":
            missing.update(range(line.detail["first_missing"], line.detail["last_missing"] + 1))
        elif line.product_id == product_id and line.type == "pulse_gap_closed":
            missing.subtract(range(line.detail["first"], line.detail["last"] + 1))
    return Counter({trade_id: number for trade_id, number in missing.items() if number})


async def true_gaps(simulator: Simulator, lines: Iterable[Line], product_id: str) -> Counter[int]:
    """The ids of trades that were made since the first one that the session knew of, and never came."""
    lines = list(lines)
    delivered = _delivered(lines, product_id)
    known = max(delivered | net_gaps(lines, product_id).keys())
    made = {trade["trade_id"] for trade in await simulator.truth(product_id)}
    return Counter(made & set(range(min(delivered), known + 1)) - delivered)


def _delivered(lines: Iterable[Line], product_id: str) -> set[int]:
    trades = [json.loads(line.frame) for line in lines if line.type in TRADES and line.frame is not None]
    return {trade["trade_id"] for trade in trades if trade["product_id"] == product_id}
