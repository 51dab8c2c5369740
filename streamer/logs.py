"""Logging: JSON lines for machines; short lines and one living status line for a terminal."""

import json
import logging
import sys
import time
from typing import Any, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

#: Back to the start of the line, and clear it.
_WIPE = "\r\x1b[K"


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a record: at, level, logger, message, then whatever `extra` holds."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TerminalFormatter(logging.Formatter):
    """Time, level, message, `key=value`; wipes the status line first."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        details = "".join(f" {key}={value}" for key, value in _extra(record).items())
        trace = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        return f"{_WIPE}{at} {record.levelname.lower():7} {record.getMessage()}{details}{trace}"


class StatusLine:
    """The last line of a terminal, rewritten in place. Writes nothing anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._stream is not None:
            self._stream.write(_WIPE + text)
            self._stream.flush()


def configure(stream: TextIO | None = None) -> None:
    """Log to `stream` (stderr): for people when it is a terminal, else as JSON."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TerminalFormatter() if stream.isatty() else JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
