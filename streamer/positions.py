"""Where the earlier sessions of a streamer ended: the last trade of every product, and what was missing then, read back
from the spool.

Newest first: within the newest piece of a segment that has trades of a product, the greatest trade id counts, because
a redundant connection delivers the same trades a little later.
"""

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from include.spool import Header, SegmentMissing, SegmentName, Spool, SpoolError, State, open_segment
from include.spool.compression import Damaged
from include.spool.names import COMPRESSED_SUFFIX
from streamer.gaps import TRADES

log = logging.getLogger(__name__)

MAX_BYTES: Final = 64 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024

#: In the order a segment takes: one that moves on while it is looked for is met in a later state.
_ON_THE_WAY: Final = (State.ACTIVE, State.SEALING, State.SEALED, State.LOADED)

#: Trade ids, both ends included.
type Interval = tuple[int, int]


class _GapLine(msgspec.Struct, frozen=True, gc=False):
    """A pulse_gap or pulse_gap_closed as the recorder writes it."""

    product_id: str
    detail: dict[str, int | str]

    def ids(self, first: str, last: str) -> Interval:
        return int(self.detail[first]), int(self.detail[last])


_decode = msgspec.json.Decoder(Header).decode
_decode_gap = msgspec.json.Decoder(_GapLine).decode


class Positions(NamedTuple):
    """What is known of earlier sessions, by product."""

    last_trade_ids: dict[str, int]
    missing: dict[str, list[Interval]]
    """Gaps on record, less what came later, as far as they were met on the way back to the last trades."""


class _Piece(NamedTuple):
    """What a stretch of lines says."""

    last_trade_ids: dict[str, int]
    opened: list[tuple[str, Interval]]
    closed: list[tuple[str, Interval]]
    size: int


def last_positions(spool: Spool, streamer_id: str, products: Collection[str], max_bytes: int = MAX_BYTES) -> Positions:
    """The positions of all sessions of this streamer id.

    Reads no further than to the last of `products`, and at most `max_bytes`, but a compressed segment always whole.
    What cannot be read is not known: a segment that is torn, gone or damaged is no error. Blocks; for a thread.
    """
    pieces: list[_Piece] = []
    try:
        for piece in _pieces(spool, streamer_id, frozenset(products), max_bytes):
            pieces.append(piece)  # noqa: PERF402 - what was read before an error counts
    except (OSError, Damaged) as error:
        log.warning(
            "earlier sessions cannot be read: trades missed since then may go unnoticed", extra={"error": str(error)}
        )
    found: dict[str, int] = {}
    for piece in pieces:
        found = piece.last_trade_ids | found
    return Positions(found, _missing(pieces))


def _pieces(spool: Spool, streamer_id: str, products: frozenset[str], left: int) -> Iterator[_Piece]:
    """From the newest on, to the last of the products or until so many bytes were read."""
    found: set[str] = set()
    for file in _newest_first(spool, streamer_id):
        with file:
            for piece in _from_the_end(file, left) if file.seekable() else _whole(file):
                yield piece
                found |= piece.last_trade_ids.keys()
                left -= piece.size
                if left <= 0 or found >= products:
                    return


def _missing(pieces: Iterable[_Piece]) -> dict[str, list[Interval]]:
    """All that was opened less all that was closed: ids are missing once, so the order does not matter."""
    missing: dict[str, list[Interval]] = {}
    for piece in pieces:
        for product_id, interval in piece.opened:
            missing.setdefault(product_id, []).append(interval)
    for piece in pieces:
        for product_id, closed in piece.closed:
            missing[product_id] = [part for each in missing.get(product_id, []) for part in _less(each, closed)]
    return {product_id: sorted(intervals) for product_id, intervals in missing.items() if intervals}


def _less(interval: Interval, closed: Interval) -> Iterator[Interval]:
    (first, last), (closed_first, closed_last) = interval, closed
    for part in ((first, min(last, closed_first - 1)), (max(first, closed_last + 1), last)):
        if part[0] <= part[1]:
            yield part


def _newest_first(spool: Spool, streamer_id: str) -> Iterator[BinaryIO]:
    segments = {name: age for state in _ON_THE_WAY for age, name, _ in _segments(spool.folder(state), streamer_id)}
    for name in sorted(segments, key=lambda name: segments[name], reverse=True):
        if file := _open(spool, name):
            yield file
    for day in sorted(spool.folder(State.ARCHIVED).iterdir(), reverse=True):
        for _, name, path in sorted(_segments(day, streamer_id), reverse=True):
            if name not in segments:
                with suppress(FileNotFoundError):
                    yield open_segment(path)


def _segments(folder: Path, streamer_id: str) -> Iterator[tuple[tuple[str, int], SegmentName, Path]]:
    """Each with what sorts it: sessions by the second of their start, in which several may have been, then by when the
    file was written."""
    for path in folder.glob(f"{streamer_id}.*"):
        # A file that is no segment of this version is the pipeline's to complain about; one that is gone is met again.
        with suppress(SpoolError, FileNotFoundError):
            name = SegmentName.parse(path.name.removesuffix(COMPRESSED_SUFFIX))
            yield (name.session_id.partition("-")[0], path.stat().st_mtime_ns), name, path


def _open(spool: Spool, name: SegmentName) -> BinaryIO | None:
    for state in (*_ON_THE_WAY, State.ARCHIVED):
        with suppress(FileNotFoundError, SegmentMissing):
            return open_segment(spool.path(name, state))
    return None


def _from_the_end(file: BinaryIO, max_bytes: int) -> Iterator[_Piece]:
    """One piece after the other, the last one first."""
    start = file.seek(0, os.SEEK_END)
    stop = max(0, start - max_bytes)
    rest = b""
    while start > stop:
        end, start = start, max(stop, start - _PIECE_BYTES)
        file.seek(start)
        lines = file.read(end - start) + rest
        # What lies before the first line feed ends a line that begins in the piece before.
        whole = lines.find(b"\n") + 1 if start else 0
        rest = lines if start and not whole else lines[:whole]
        yield _piece(lines[len(rest) :], end - start)


def _whole(file: BinaryIO) -> Iterator[_Piece]:
    """The same of a file that can be read in one direction only, as one piece."""
    whole = _Piece({}, [], [], 0)
    while lines := b"".join(file.readlines(_PIECE_BYTES)):
        piece = _piece(lines, len(lines))
        whole = _Piece(
            whole.last_trade_ids | piece.last_trade_ids,
            whole.opened + piece.opened,
            whole.closed + piece.closed,
            whole.size + piece.size,
        )
    yield whole


def _piece(lines: bytes, size: int) -> _Piece:
    piece = _Piece({}, [], [], size)
    for line in lines.split(b"\n"):
        # The torn end of a segment whose writer died, or a frame whose known members are of other types.
        with suppress(msgspec.DecodeError, UnicodeDecodeError, KeyError, ValueError):
            if b'match"' in line:
                header = _decode(line)
                if header.type in TRADES and header.product_id and header.trade_id:
                    greatest = max(piece.last_trade_ids.get(header.product_id, 0), header.trade_id)
                    piece.last_trade_ids[header.product_id] = greatest
            elif b'"type":"pulse_gap"' in line:
                gap = _decode_gap(line)
                piece.opened.append((gap.product_id, gap.ids("first_missing", "last_missing")))
            elif b'"type":"pulse_gap_closed"' in line:
                gap = _decode_gap(line)
                piece.closed.append((gap.product_id, gap.ids("first", "last")))
    return piece
