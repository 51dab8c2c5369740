"""File operations that survive a power cut. No other module of the spool calls fsync on a folder or renames a file.

A rename is durable only after the folders on both ends were synced, and a file's name only after its folder was.
All functions raise OSError and can be repeated after a failure or a crash.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

TMP_SUFFIX = ".tmp"


def fsync_dir(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dir(path: Path) -> None:
    """Create a folder and its parents where missing, durably.

    The name of one that exists is synced too: whoever made it may have died before that.
    """
    if not path.is_dir():
        make_dir(path.parent)
        path.mkdir(exist_ok=True)
    fsync_dir(path.parent)


def write_atomic(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a whole file: a reader sees the old content or the new one, never a part.

    The temporary file has one fixed name, so that a crash leaves at most one behind and a repetition reuses it.
    Callers make sure that only one process writes a path at a time.
    """
    tmp = path.with_name(path.name + TMP_SUFFIX)
    with tmp.open("wb") as file:
        file.writelines(chunks)
        file.flush()
        os.fsync(file.fileno())
    rename_durable(tmp, path)


def rename_durable(source: Path, target: Path) -> None:
    """Move a file within one file system. Raises FileNotFoundError when the source is gone.

    After a power cut in the middle a file may have both names. A rename from one name of a file to another does
    nothing; then the old one is removed here.
    """
    source.rename(target)
    fsync_dir(target.parent)
    if source.parent != target.parent:
        source.unlink(missing_ok=True)
        fsync_dir(source.parent)


def link_durable(source: Path, target: Path) -> None:
    """Give a file a second name; a target that exists already is left as it is."""
    with contextlib.suppress(FileExistsError):
        target.hardlink_to(source)
    fsync_dir(target.parent)


def remove(path: Path) -> None:
    """Delete a file; one that is gone already is a success."""
    path.unlink(missing_ok=True)
    fsync_dir(path.parent)


def truncate(path: Path, size: int) -> None:
    """Cut a file to `size` bytes and sync it."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)
