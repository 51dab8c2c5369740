"""Durability: which bytes and names are synced, and in which order.

A sync has no effect that a test could see without a power cut, so these tests watch the calls of the real functions.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from include.spool import RecordEncoder, SegmentName, SegmentWriter, Session, Spool, State, durable, seal

Trace = list[tuple[str, str]]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """What is synced and renamed from here on, in order, by the last part of its path."""
    calls: Trace = []

    def watch(name: str, describe: Callable[..., str]) -> None:
        real = getattr(os, name)

        def watched(*args: object, **kwargs: object) -> object:
            calls.append((name, describe(*args)))
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, watched)

    def of_descriptor(fd: int) -> str:
        return Path(f"/proc/self/fd/{fd}").readlink().name

    watch("fsync", of_descriptor)
    watch("fdatasync", of_descriptor)
    watch("ftruncate", lambda fd, size: f"{of_descriptor(fd)} to {size}")
    watch("rename", lambda source, target: f"{Path(source).parent.name} to {Path(target).parent.name}")
    watch("link", lambda source, target: f"{Path(source).parent.name} to {Path(target).parent.name}")
    watch("unlink", lambda path: Path(path).parent.name)
    return calls


def test_an_atomic_write_is_synced_before_and_after_its_rename(tmp_path: Path, trace: Trace) -> None:
    """The content is durable before the name, and the name before the call returns."""
    durable.write_atomic(tmp_path / "file", [b"a", b"b"])

    folder = tmp_path.name
    assert trace == [("fsync", "file.tmp"), ("rename", f"{folder} to {folder}"), ("fsync", folder)]
    assert (tmp_path / "file").read_bytes() == b"ab"


def test_a_rename_is_durable_on_both_ends(tmp_path: Path, trace: Trace) -> None:
    """The new name is durable before the old one is durably gone."""
    for folder in ("from", "to"):
        (tmp_path / folder).mkdir()
    (tmp_path / "from" / "file").touch()

    durable.rename_durable(tmp_path / "from" / "file", tmp_path / "to" / "file")

    assert trace == [("rename", "from to to"), ("fsync", "to"), ("unlink", "from"), ("fsync", "from")]


def test_a_cut_is_durable(tmp_path: Path, trace: Trace) -> None:
    """A truncated file is synced."""
    (tmp_path / "file").write_bytes(b"12345")

    durable.truncate(tmp_path / "file", 2)

    assert trace == [("ftruncate", "file to 2"), ("fsync", "file")]
    assert (tmp_path / "file").read_bytes() == b"12"


def test_folders_are_durable_from_the_root_down(tmp_path: Path, trace: Trace) -> None:
    """Each folder's name is synced in its parent, that of one that exists too."""
    durable.make_dir(tmp_path / "a" / "b")

    assert trace == [("fsync", tmp_path.parent.name), ("fsync", tmp_path.name), ("fsync", "a")]


def test_a_writer_syncs_names_lines_and_the_hand_over(
    spool: Spool, session: Session, encoder: RecordEncoder, trace: Trace
) -> None:
    """The name is durable at birth, the lines at each sync, and all of it before the lock falls."""
    writer = SegmentWriter(spool, session, max_bytes=10_000, max_age_seconds=60)
    name = SegmentName(session.streamer_id, session.session_id, 1).file_name
    born = [("rename", "active to active"), ("fsync", "active")]
    synced = [("fdatasync", name)]
    rotated = [("rename", "active to sealing"), ("fsync", "sealing"), ("unlink", "active"), ("fsync", "active")]

    writer.write(encoder.frame(b'{"type":"a"}', 1).line)
    assert trace == born
    writer.sync()
    assert trace == born + synced
    writer.close()
    assert trace == born + synced + rotated + synced


def test_sealing_syncs_each_step_before_the_next(
    spool: Spool, encoder: RecordEncoder, put_sealing: Callable[..., SegmentName], trace: Trace
) -> None:
    """The torn tail is durable before it is cut off, and manifest and segment before the segment is in sealed/."""
    line = encoder.frame(b'{"type":"a"}', 1).line
    name = put_sealing(line + b"torn")
    reason = [("fsync", f"{name.torn_name}.reason.json.tmp"), ("rename", "quarantined to quarantined")]
    torn = [("fsync", f"{name.torn_name}.tmp"), ("rename", "quarantined to quarantined")]
    cut = [("ftruncate", f"{name.file_name} to {len(line)}"), ("fsync", name.file_name)]
    manifest = [("fsync", f"{name.manifest_name}.tmp"), ("rename", "sealed to sealed"), ("fsync", "sealed")]
    segment = [("fsync", name.file_name), ("rename", "sealing to sealed"), ("fsync", "sealed")]
    moved = [("unlink", "sealing"), ("fsync", "sealing")]
    in_quarantine = ("fsync", "quarantined")

    seal(spool, name, timeout_seconds=0)

    assert trace == [*reason, in_quarantine, *torn, in_quarantine, *cut, *manifest, *segment, *moved]


def test_a_transition_syncs_the_manifest_first(
    spool: Spool, encoder: RecordEncoder, put_sealing: Callable[..., SegmentName], trace: Trace
) -> None:
    """The manifest's new name is durable before the segment's, and its old one goes last."""
    name = put_sealing(encoder.frame(b'{"type":"a"}', 1).line)
    seal(spool, name, timeout_seconds=0)
    trace.clear()

    spool.mark_loaded(name)

    assert trace == [
        ("link", "sealed to loaded"),
        ("fsync", "loaded"),
        ("rename", "sealed to loaded"),
        ("fsync", "loaded"),
        ("unlink", "sealed"),
        ("fsync", "sealed"),
        ("fsync", "loaded"),
        ("unlink", "sealed"),
        ("fsync", "sealed"),
    ]


def test_a_transition_that_was_begun_is_made_durable_before_its_end(
    spool: Spool, encoder: RecordEncoder, put_sealing: Callable[..., SegmentName], trace: Trace
) -> None:
    """Whoever moved the segment may have died before its new name was synced: the repetition syncs it first."""
    name = put_sealing(encoder.frame(b'{"type":"a"}', 1).line)
    seal(spool, name, timeout_seconds=0)
    spool.manifest_path(name, State.LOADED).hardlink_to(spool.manifest_path(name, State.SEALED))
    spool.path(name, State.SEALED).rename(spool.path(name, State.LOADED))
    trace.clear()

    spool.mark_loaded(name)

    assert trace == [("fsync", "loaded"), ("unlink", "sealed"), ("fsync", "sealed")]
