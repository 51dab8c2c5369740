"""What was written to each connection, frame by frame, on disk: tests compare it with what was received."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import msgspec

from simulator.frames import Frame


class SentJournal:
    """One NDJSON file a connection.

    A line is `{"frame":text}`, `{"base64":bytes}` for a binary frame, or `{"cut":text}` for one sent in half. A frame
    listed was handed to the kernel or waits for a slow reader; an end of the connection may lose the last ones.
    """

    def __init__(self, folder: Path) -> None:
        """Journals of an earlier process in the folder are removed: connection numbers start again at 1."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.ndjson"):
            stale.unlink()

    def path(self, connection: int) -> Path:
        """The file of a connection; missing until something was sent."""
        return self._folder / f"{connection}.ndjson"

    def record(self, connection: int, frames: Sequence[Frame]) -> None:
        """Append frames that were sent."""
        with self.path(connection).open("ab") as file:
            file.writelines(_line(frame) for frame in frames)


def _line(frame: Frame) -> bytes:
    if not frame.is_text:
        return msgspec.json.encode({"base64": b64encode(frame.data).decode()}) + b"\n"
    return msgspec.json.encode({"cut" if frame.is_cut else "frame": frame.data.decode()}) + b"\n"
