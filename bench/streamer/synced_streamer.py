"""Our streamer, noting every fdatasync: how many bytes of which file were durable when.

    python -m bench.streamer.synced_streamer NOTES

A note is `<inode> <size when the sync began> <nanoseconds since the epoch when it had ended> <its nanoseconds>`.
"""

import os
import sys
import time
from pathlib import Path

from streamer.__main__ import main


def note_syncs(path: Path) -> None:
    """Wrap os.fdatasync for the rest of the process."""
    sync, notes = os.fdatasync, path.open("w", buffering=1)

    def noting(fd: int) -> None:
        before = os.fstat(fd)
        began = time.perf_counter_ns()
        sync(fd)
        took = time.perf_counter_ns() - began
        notes.write(f"{before.st_ino} {before.st_size} {time.time_ns()} {took}\n")

    os.fdatasync = noting  # type: ignore[assignment]  # nobody here passes a file object


note_syncs(Path(sys.argv[1]))
sys.exit(main([]))
