"""Progress on the screen: a line for what is done, and on a terminal what is being waited for."""

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status


class Screen:
    """Where a start or stop reports to; safe to use from several threads."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._running: list[str] = []
        self._status: Status | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._status = self.console.status("…")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._running.clear()

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def started(self, name: str) -> None:
        """A step begins."""
        with self._lock:
            self._running.append(name)
            self._show()

    def finished(self, name: str, seconds: float, remark: str | None) -> None:
        """A step is done."""
        with self._lock:
            self._running.remove(name)
            self.say(f"  ✓ {name:<16} {seconds:5.1f} s{f'  ({remark})' if remark else ''}")
            self._show()

    def _show(self) -> None:
        if self._status is not None:
            self._status.update(", ".join(self._running) or "…")
