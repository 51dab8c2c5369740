"""A process and what it costs."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

_libc = ctypes.CDLL(None, use_errno=True)

#: A receiver that ends when its peer hangs up does so within this time.
_LEAVE_SECONDS = 0.5


class Watched:
    """A child that is killed at the end of the block if it still runs. Its output goes to `log`."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(command, stdout=output, stderr=output, env=env)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()

    def cpu_seconds(self) -> float:
        """User and system time so far, of all threads, those that have ended included.

        By the process's own clock, which counts nanoseconds: what /proc says is rounded to 10 ms.
        """
        clock = ctypes.c_int()
        if error := _libc.clock_getcpuclockid(self._child.pid, ctypes.byref(clock)):
            raise OSError(error, os.strerror(error))
        return time.clock_gettime(clock.value)

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return self._memory("VmRSS")

    def peak_rss_bytes(self) -> int:
        """The most that was ever resident."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> int:
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) * 1024

    def check(self) -> None:
        """Raise RuntimeError when the process has ended."""
        if self._child.poll() is not None:
            raise RuntimeError(f"{self._child.args!r} ended with {self._child.returncode}:\n{self._log.read_text()}")

    def stop(self, hang_up: Callable[[], None], seconds: float) -> None:
        """Hang up, which ends the simple ones; ask the others to end, and wait. Raises TimeoutExpired."""
        hang_up()
        try:
            self._child.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.send_signal(signal.SIGTERM)
            self._child.wait(seconds)

    def settle[T](self, value: Callable[[], T], quiet_seconds: float, seconds: float) -> T:
        """Wait until a value has not changed for a while; the value. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        last, since = value(), time.monotonic()
        while time.monotonic() < since + quiet_seconds:
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._child.args!r} has not finished after {seconds:g} s")
            time.sleep(0.02)
            if (now := value()) != last:
                last, since = now, time.monotonic()
        return last
