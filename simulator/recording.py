"""Recorded traffic as files. Two formats, told apart by the first line:

- `.ndjson`: one raw frame a line. Frames carry no receive time; the exchange's own `time` stands in for it.
- cryptofeed's: `epoch: frame` for what was received. Lines that begin with a URL (`<->` connected, `<-` sent, `->` a
  REST reply) were not received on the feed and are left out.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from simulator.instants import SECOND, parse_rfc3339

_RECEIVED = re.compile(r"([0-9]+(?:\.[0-9]+)?): (.*)", re.DOTALL)
_NOT_RECEIVED = re.compile(r"(?:wss?|https?)://\S+ (?:<->|<-|->) ")


class RecordingError(ValueError):
    """A file that is not a recording. The text names file and line."""


class Frame(NamedTuple):
    """One received frame, character for character."""

    at: float | None
    """When it was received, or failing that the exchange's time so far, in seconds since 1970.

    None before the first time is known.
    """
    text: str


class _Timed(msgspec.Struct):
    time: str


class _Channel(msgspec.Struct):
    product_ids: list[str] = []


class _Mentions(msgspec.Struct):
    product_id: str | None = None
    channels: list[_Channel] = []


def read_recording(path: Path) -> Iterator[Frame]:
    """Received frames in their order. Raises RecordingError for a file that cannot be read or is of neither format."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            yield from _read_lines(path, file)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{path}: not UTF-8 text ({error.reason}); recordings are NDJSON or cryptofeed text, not compressed"
        ) from error


def recorded_product_ids(path: Path) -> list[str]:
    """Products that the recording's frames mention, sorted. Raises RecordingError, also when there is none."""
    found: set[str] = set()
    for frame in read_recording(path):
        try:
            mentions = msgspec.json.decode(frame.text, type=_Mentions)
        except msgspec.DecodeError:
            continue  # a malformed frame is part of a recording, too, and names no product
        found.update([mentions.product_id] if mentions.product_id else [])
        found.update(product_id for channel in mentions.channels for product_id in channel.product_ids)
    if not found:
        raise RecordingError(f"{path}: no frame names a product; is this a recording of the Exchange feed?")
    return sorted(found)


def _read_lines(path: Path, lines: Iterator[str]) -> Iterator[Frame]:
    is_ndjson: bool | None = None
    at: float | None = None
    for line_no, line in enumerate(lines, start=1):
        text = line.removesuffix("\n")
        if not text.strip():
            continue
        if is_ndjson is None:
            is_ndjson = _is_ndjson(path, text)
        if is_ndjson:
            at = _later(at, _exchange_time(text))
            yield Frame(at, text)
        elif received := _RECEIVED.fullmatch(text):
            at = float(received[1])
            yield Frame(at, received[2])
        elif not _NOT_RECEIVED.match(text):
            raise RecordingError(
                f"{path}, line {line_no}: neither 'epoch: frame' nor a line that begins with a URL: {text[:80]!r}"
            )
    if at is None and is_ndjson is None:
        raise RecordingError(f"{path}: empty")


def _is_ndjson(path: Path, line: str) -> bool:
    if line.startswith("{"):
        return True
    if _RECEIVED.fullmatch(line) or _NOT_RECEIVED.match(line):
        return False
    raise RecordingError(
        f"{path}: unknown format: {line[:80]!r}. "
        "Known are NDJSON (one raw frame a line) and cryptofeed's 'epoch: frame' lines"
    )


def _exchange_time(text: str) -> float | None:
    try:
        return parse_rfc3339(msgspec.json.decode(text, type=_Timed).time) / SECOND
    except ValueError:  # msgspec's errors included: a frame without a usable time follows the one before it
        return None


def _later(before: float | None, now: float | None) -> float | None:
    if before is None or now is None:
        return now if before is None else before
    return max(before, now)
