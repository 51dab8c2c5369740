"""Logs for machines, and for people at a terminal."""

import io
import json
import logging
import sys

from streamer.logs import JsonFormatter, StatusLine, TerminalFormatter


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def a_record(*, with_error: bool = False) -> logging.LogRecord:
    """A warning with details."""
    error = None
    if with_error:
        try:
            raise ValueError("a bug")
        except ValueError:
            error = sys.exc_info()
    return logging.getLogger("streamer").makeRecord(
        "streamer", logging.WARNING, __file__, 1, "lost %s", ("touch",), error, extra={"cause": "closed", "code": 1012}
    )


def test_json_log_is_one_object_a_line_with_its_details() -> None:
    """Fields of `extra` are members; a traceback stays inside the line."""
    text = JsonFormatter().format(a_record(with_error=True))
    line = json.loads(text)
    assert "\n" not in text
    assert {key: line[key] for key in ("level", "logger", "message", "cause", "code")} == {
        "level": "warning",
        "logger": "streamer",
        "message": "lost touch",
        "cause": "closed",
        "code": 1012,
    }
    assert "ValueError: a bug" in line["exception"]


def test_terminal_log_shows_details_and_traceback() -> None:
    """A person reads the message first, then key=value."""
    text = TerminalFormatter().format(a_record(with_error=True))
    assert "warning lost touch cause=closed code=1012\n" in text
    assert text.endswith("ValueError: a bug")


def test_status_line_is_rewritten_in_place() -> None:
    """A new text wipes the old one; no line is added."""
    terminal = Terminal()
    line = StatusLine(terminal)
    line.show("one")
    line.show("two")
    assert terminal.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo"


def test_status_line_stays_out_of_files() -> None:
    """A log file holds log lines only."""
    file = io.StringIO()
    StatusLine(file).show("one")
    assert file.getvalue() == ""
