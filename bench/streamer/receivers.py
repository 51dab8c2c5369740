"""Who receives: how each is started, what it stores, and how that is counted."""

import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.streamer.exchange import FRAMES_PER_HEARTBEAT, PRODUCTS

REPOSITORY = Path(__file__).parents[2]
PEERS_PYTHON = REPOSITORY / ".venvs" / "bench" / "bin" / "python"

#: Bytes of a file looked at together when lines are counted.
_CHUNK_BYTES = 1 << 20

_RECORD_NO = re.compile(rb'"record_no":([0-9]+),')
_NO_DATA = re.compile(rb'"type":"(?:pulse_|subscriptions")')


def _nothing(_port: int, _folder: Path) -> dict[str, str]:
    return {}


def _count_lines(folder: Path) -> int:
    return sum(_count(path) for path in sorted(folder.rglob("*.ndjson")))


def _count(path: Path) -> int:
    """Lines of data in a file; control records and acknowledgements do not count."""
    count, last_no = 0, None
    with path.open("rb") as file:
        for line in file:
            head = line[:300]
            count += not _NO_DATA.search(head)
            if number := _RECORD_NO.search(head):
                record_no = int(number[1])
                if last_no is not None and record_no != last_no + 1:
                    raise ValueError(f"{path}: record_no {record_no} follows {last_no}")
                last_no = record_no
    return count


@dataclass(frozen=True)
class Receiver:
    """A program under test. It writes below the folder it is given and nowhere else."""

    name: str
    command: Callable[[int, Path], list[str | Path]]
    """Its command line, for a port on loopback and a folder."""
    dialect: str = "exchange"
    subscribes: bool = False
    """Whether it waits for the answer to a subscription."""
    stores_heartbeats: bool = True
    environment: Callable[[int, Path], dict[str, str]] = _nothing
    count: Callable[[Path], int] = _count_lines

    def env(self, port: int, folder: Path) -> dict[str, str]:
        """The environment it runs in: ours without our settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
        return inherited | {"PYTHONPATH": str(REPOSITORY)} | self.environment(port, folder)

    def expected(self, sent: int) -> int:
        """Lines that it has to store of so many frames."""
        return sent if self.stores_heartbeats else sent - sent // FRAMES_PER_HEARTBEAT

    def stored(self, folder: Path) -> int:
        """Messages that it has stored, or counted. Raises ValueError when numbered lines are not contiguous."""
        return self.count(folder)

    def bytes(self, folder: Path) -> int:
        """Bytes that it has written so far."""
        return sum(path.stat().st_size for path in folder.rglob("*.ndjson") if path.exists())


def unused_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def streamer(transport: str, *, notes: Path | None = None) -> Receiver:
    """Our streamer as it is deployed: every default, fdatasync on. `notes` gets its syncs, see synced_streamer.py."""

    def command(_port: int, _folder: Path) -> list[str | Path]:
        if notes is None:
            return [sys.executable, "-m", "streamer"]
        return [sys.executable, "-m", "bench.streamer.synced_streamer", notes]

    def environment(port: int, folder: Path) -> dict[str, str]:
        return {
            "PULSE_FEED_URL": f"ws://127.0.0.1:{port}",
            "PULSE_SPOOL_DIR": str(folder / "spool"),
            "PULSE_STREAMER_PORT": str(unused_port()),
            "PULSE_PRODUCTS": ",".join(PRODUCTS),
            "PULSE_TRANSPORT": transport,
        }

    return Receiver(f"streamer, {transport}", command, subscribes=True, environment=environment)


def c_receiver(program: Path) -> Receiver:
    """The floor: see receiver.c."""
    return Receiver("C receiver", lambda port, folder: [program, str(port), folder / "c.ndjson"])


def plain_loop() -> Receiver:
    """See plain_loop.py."""
    script = Path(__file__).with_name("plain_loop.py")
    return Receiver(
        "websockets + json loop", lambda port, folder: [PEERS_PYTHON, script, str(port), folder / "plain.ndjson"]
    )


def discard(library: str) -> Receiver:
    """See discard.py."""
    script = Path(__file__).with_name("discard.py")
    return Receiver(
        f"{library} alone, discards",
        lambda port, folder: [sys.executable, script, library, str(port), folder / "count"],
        count=lambda folder: int((folder / "count").read_text()),
    )


def cryptofeed() -> Receiver:
    """See cryptofeed_ndjson.py."""
    script = Path(__file__).with_name("cryptofeed_ndjson.py")
    return Receiver(
        "cryptofeed 3.0.1",
        lambda port, folder: [PEERS_PYTHON, script, str(port), folder / "cryptofeed.ndjson"],
        dialect="advanced",
        stores_heartbeats=False,
    )
