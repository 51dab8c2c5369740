"""Where the earlier sessions of a streamer ended: the last trade of every product, read back from the spool.

Newest first: within the newest piece of a segment that has trades of a product, the greatest trade id counts, because
a redundant connection delivers the same trades a little later.
"""

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

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

_decode = msgspec.json.Decoder(Header).decode


def last_trade_ids(
    spool: Spool, streamer_id: str, products: Collection[str], max_bytes: int = MAX_BYTES
) -> dict[str, int]:
    """The last trade id by product, of all sessions of this streamer id.

    Reads no further than to the last of `products`, and at most `max_bytes`, but a compressed segment always whole.
    What cannot be read is not known: a segment that is torn, gone or damaged is no error. Blocks; for a thread.
    """
    found: dict[str, int] = {}
    left = max_bytes
    try:
        for file in _newest_first(spool, streamer_id):
            with file:
                for ids, size in _from_the_end(file, left) if file.seekable() else _whole(file):
                    found = ids | found
                    left -= size
                    if left <= 0 or found.keys() >= set(products):
                        return found
    except (OSError, Damaged) as error:
        log.warning(
            "earlier sessions cannot be read: trades missed since then may go unnoticed", extra={"error": str(error)}
        )
    return found


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


def _from_the_end(file: BinaryIO, max_bytes: int) -> Iterator[tuple[dict[str, int], int]]:
    """The greatest ids of one piece after the other, the last one first, and the size of each."""
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
        yield _greatest_ids(lines[len(rest) :]), end - start


def _whole(file: BinaryIO) -> Iterator[tuple[dict[str, int], int]]:
    """The same of a file that can be read in one direction only, as one piece."""
    ids: dict[str, int] = {}
    size = 0
    while lines := file.readlines(_PIECE_BYTES):
        piece = b"".join(lines)
        ids |= _greatest_ids(piece)
        size += len(piece)
    yield ids, size


def _greatest_ids(lines: bytes) -> dict[str, int]:
    greatest: dict[str, int] = {}
    for line in lines.split(b"\n"):
        if b'match"' not in line:
            continue
        # The torn end of a segment whose writer died, or a frame whose known members are of other types.
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            header = _decode(line)
            if header.type in TRADES and header.product_id and header.trade_id:
                greatest[header.product_id] = max(greatest.get(header.product_id, 0), header.trade_id)
    return greatest
