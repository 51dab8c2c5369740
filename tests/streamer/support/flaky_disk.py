"""Segments that fail on command."""

import threading


class FlakyDisk:
    """Segments in memory. A failing step raises the error set for it and, like the real ones, has done nothing."""

    def __init__(self) -> None:
        self.errors: dict[str, OSError] = {}
        self.written = b""
        self.synced = b""
        self.checks = 0
        self.failures = 0
        self.closed = False
        self.free = threading.Event()
        self.free.set()

    def _step(self, name: str) -> None:
        self.free.wait()
        if name in self.errors:
            self.failures += 1
            raise self.errors[name]

    def write(self, lines: bytes | bytearray) -> None:
        self._step("write")
        self.written += lines

    def sync(self) -> None:
        self._step("sync")
        self.synced = self.written

    def check(self) -> None:
        self.checks += 1
        self._step("check")

    def close(self) -> None:
        self._step("close")
        self.closed = True
