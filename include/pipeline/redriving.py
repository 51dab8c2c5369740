"""Corrected dead letters, back on the usual path: as a segment of a session of their own, which is sealed, loaded and
transformed like any other.

Repeatable after a crash without doubling: where a letter goes is noted in the warehouse before its segment appears,
the segment appears whole or not at all, and a letter whose segment exists is never sent again.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from include.spool import RecordEncoder, SegmentName, Session, Spool, State, durable
from include.spool.envelope import split
from include.spool.frames import judge
from include.spool.timestamps import parse_ns
from include.warehouse.dead_letters import DeadLetter, Reason, letter_key
from include.warehouse.line_check import LineCheck
from include.warehouse.table_specs import load_spec
from include.warehouse.warehouse import Warehouse

STREAMER_ID = "redrive"
CONTROL_TYPE = "pulse_redriven"
#: A redriven record came over no connection of its session.
_NO_CONNECTION = 0
_PROBLEMS_SHOWN = 10


class RedriveRefused(Exception):
    """The file cannot be redriven as it is. Nothing of it was written."""


class _Export(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the file that is exported, corrected and loaded. Only `frame` is to be changed."""

    segment: str
    line_no: int
    reason: str = ""
    error: str = ""
    received_at: str = ""
    frame: str

    @property
    def key(self) -> str:
        return letter_key(self.segment, self.line_no)


def list_letters(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The dead letters that are still open, without their lines."""
    letters = (msgspec.to_builtins(letter) for letter in warehouse.dead_letters.open())
    return [{name: value for name, value in letter.items() if name != "line"} for letter in letters]


def export_letters(warehouse: Warehouse, path: Path) -> dict[str, Any]:
    """Write the open letters as NDJSON; a letter too long for the table is left out and counted."""
    letters = warehouse.dead_letters.open()
    written = [_exported(letter, letter.line) for letter in letters if letter.line is not None]
    durable.write_atomic(path, [msgspec.json.encode(item) + b"\n" for item in written])
    return {"exported": len(written), "too_long": len(letters) - len(written)}


def redrive(spool: Spool, warehouse: Warehouse, path: Path) -> dict[str, Any]:
    """Send the corrected frames of an exported file back through the spool, received_at as it was.

    Letters that an earlier call has sent are only marked. Raises RedriveRefused, SpoolLocked when another process
    redrives; OSError; and what the client library raises.
    """
    with spool.lock_streamer(STREAMER_ID):
        corrected = _read(path)
        letters = {letter.key: letter for letter in warehouse.dead_letters.open()}
        sent = _close_sent(spool, warehouse, letters.values())
        waiting = {key: frame for key, frame in corrected.items() if key in letters and key not in sent}
        unknown = len(corrected) - len(waiting) - len(corrected.keys() & sent)
        if not waiting:
            return {"redriven": 0, "sent_before": len(sent), "not_open": unknown, "segment": None}
        _check(waiting, letters)
        order = sorted(waiting, key=lambda key: (letters[key].received_at, letters[key].segment, letters[key].line_no))
        name = _name(order, waiting, letters)
        warehouse.dead_letters.plan_redrive(order, name.file_name)
        durable.write_atomic(spool.path(name, State.SEALING), _lines(name.session, order, waiting, letters))
        warehouse.dead_letters.close_redrive(name.file_name)
    return {"redriven": len(order), "sent_before": len(sent), "not_open": unknown, "segment": name.file_name}


def _exported(letter: DeadLetter, line: str) -> _Export:
    frame = line if letter.reason is Reason.UNDECODABLE else split(line.encode())[1].decode()
    return _Export(
        segment=letter.segment,
        line_no=letter.line_no,
        reason=letter.reason,
        error=letter.error,
        received_at=letter.received_at,
        frame=frame,
    )


def _read(path: Path) -> dict[str, bytes]:
    """Corrected frames by the key of their letter."""
    try:
        items = [msgspec.json.decode(line, type=_Export) for line in path.read_bytes().splitlines() if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RedriveRefused(f"{path} is not as exported: {error}. Hint: change only the text in frame") from error
    corrected = {item.key: item.frame.encode() for item in items}
    if len(corrected) != len(items):
        raise RedriveRefused(f"{path} names a letter twice. Hint: export it anew")
    return corrected


def _close_sent(spool: Spool, warehouse: Warehouse, letters: Iterable[DeadLetter]) -> set[str]:
    """Mark the letters whose segment exists: an earlier call died before it could. Their keys."""
    sent: set[str] = set()
    planned = sorted({letter.redriven_to for letter in letters if letter.redriven_to})
    for segment in planned:
        if _exists(spool, warehouse, SegmentName.parse(segment)):
            warehouse.dead_letters.close_redrive(segment)
            sent |= {letter.key for letter in letters if letter.redriven_to == segment}
    return sent


def _exists(spool: Spool, warehouse: Warehouse, name: SegmentName) -> bool:
    """Asked in the direction in which a segment moves, so that one on the move is not missed."""
    if spool.path(name, State.SEALING).exists() or spool.path(name, State.SEALED).exists():
        return True
    if spool.path(name, State.QUARANTINED).exists():
        raise RedriveRefused(
            f"{spool.path(name, State.QUARANTINED)}: an earlier redrive was set aside. Look at it first"
        )
    return bool(warehouse.ledger.known_segments([name.file_name]))


def _check(frames: Mapping[str, bytes], letters: Mapping[str, DeadLetter]) -> None:
    """Raises RedriveRefused for frames that would come back as dead letters."""
    check = LineCheck(load_spec("messages"))
    problems = []
    for key, frame in frames.items():
        if judge(frame) is None:
            problems.append(f"{key}: the frame is not a message (docs/spool-format.md)")
            continue
        session = Session(STREAMER_ID, _session_id(letters[key], ""))
        problem = check.problem(b'{"batch_id":"",%b' % _line(session, letters[key], frame)[1:])
        if problem is not None:
            problems.append(f"{key}: {problem}")
    if problems:
        raise RedriveRefused(f"{len(problems)} frames are not right yet: {'; '.join(problems[:_PROBLEMS_SHOWN])}")


def _line(session: Session, letter: DeadLetter, frame: bytes) -> bytes:
    return RecordEncoder(session, lambda: parse_ns(letter.received_at) or 0).frame(frame, _NO_CONNECTION).line


def _name(order: list[str], frames: Mapping[str, bytes], letters: Mapping[str, DeadLetter]) -> SegmentName:
    """Derives from the content, so that a repetition finds what it has written."""
    digest = hashlib.sha256(msgspec.json.encode([(key, frames[key].decode()) for key in order])).hexdigest()
    return SegmentName(STREAMER_ID, _session_id(letters[order[0]], digest), 1)


def _session_id(first: DeadLetter, digest: str) -> str:
    second = first.received_at[:19].replace("-", "").replace(":", "")
    return f"{second}Z-{digest[:8]:0<8}"


def _lines(
    session: Session, order: list[str], frames: Mapping[str, bytes], letters: Mapping[str, DeadLetter]
) -> list[bytes]:
    """Before each frame a control record that says where it comes from."""
    received_ns = 0
    encoder = RecordEncoder(session, lambda: received_ns)
    lines = []
    for key in order:
        letter = letters[key]
        received_ns = parse_ns(letter.received_at) or 0
        origin = {"segment": letter.segment, "line_no": letter.line_no, "reason": letter.reason}
        lines += [
            encoder.control(CONTROL_TYPE, origin, _NO_CONNECTION).line,
            encoder.frame(frames[key], _NO_CONNECTION).line,
        ]
    return lines
