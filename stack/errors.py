"""What the stack reports instead of a traceback."""

from pathlib import Path


class StackError(RuntimeError):
    """Something the user can act on. The text says what and what to do."""


class PartError(StackError):
    """A part did not start or a preparation failed; `log_path` is where it wrote."""

    def __init__(self, part: str, reason: str, log_path: Path | None = None) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part
        self.log_path = log_path
