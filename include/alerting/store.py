"""What is remembered of alerts: one file, shared by all processes of an installation.

`alerts.lock` is held while the file is read, changed and replaced; a reader sees the old state or the new one. The
kernel drops the lock when a process dies.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from include.alerting.incidents import State

_LOCK_SECONDS: Final = 5.0
_LOCK_POLL_SECONDS: Final = 0.02


class AlertStore:
    """Methods raise OSError when the folder cannot be used, of it TimeoutError when the lock is not to be had."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "state.json"

    @contextlib.contextmanager
    def transaction(self) -> Iterator[State]:
        """The state, alone; what was changed in it is kept when the block ends well."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "alerts.lock").open("a+b") as lock:
            _acquire(lock.fileno(), self._folder)
            before, state = self._read()
            yield state
            after = msgspec.json.encode(state)
            if after != before:
                self._write(after)

    def _read(self) -> tuple[bytes, State]:
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return b"", State()
        try:
            return content, msgspec.json.decode(content, type=State)
        except msgspec.DecodeError:
            # Of another version, or damaged. To page once too often is better than never again.
            self._file.replace(self._file.with_suffix(".unreadable"))
            return b"", State()

    def _write(self, content: bytes) -> None:
        tmp = self._file.with_suffix(".tmp")
        with tmp.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        tmp.replace(self._file)


def _acquire(fd: int, folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{folder}: another process keeps the lock of the alerts") from None
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return
