"""A disk that lies: a segment whose writer is dead loses a line in its middle."""

from pathlib import Path

_LINES = 50


def cut_a_line(active: Path) -> int:
    """Cut the middle line out of the largest segment in a folder; how many were cut, 0 or 1."""
    segments = sorted(active.glob("*.ndjson"), key=lambda path: path.stat().st_size)
    if not segments:
        return 0
    lines = segments[-1].read_bytes().splitlines(keepends=True)
    if len(lines) < _LINES:
        return 0
    del lines[len(lines) // 2]
    segments[-1].write_bytes(b"".join(lines))
    return 1
