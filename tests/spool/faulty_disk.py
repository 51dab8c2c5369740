"""A disk that fails at any system call, and forgets in a power cut what nobody synced.

The calls go to real files in a real folder; what would be durable is kept beside it. The rules are those of POSIX, not
the kinder ones of one file system:

- a file's bytes and size are durable after `fsync` or `fdatasync` of the file, a name after `fsync` of its folder;
- a power cut undoes any subset of the other changes of names. A rename is done or not, until one of its folders is
  synced: from then on its other half alone can be lost;
- of a file's other bytes a power cut leaves any part: the file ends anywhere, and a lost range in it reads as zeros;
- after a failed sync of a file its bytes are lost in the same way at once, and the next sync proves nothing about them.

kill -9 loses nothing, but stops anywhere, also in the middle of a write.
"""

import contextlib
import errno
import fcntl
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple
from unittest import mock

FOLDER = 0

Trouble = Literal["kill", "power", "full", "read_only", "sync_error", "short_write"]


class Killed(BaseException):
    """The process that made the call is gone."""


class Fault(NamedTuple):
    """What goes wrong at the call with this number, counted from 0."""

    kind: Trouble
    step: int


class _File:
    """Content of one inode: what is durable, and what it was after each change since."""

    def __init__(self) -> None:
        self.durable = b""
        self.later: list[bytes] = []

    def sync(self) -> None:
        if self.later:
            self.durable = self.later[-1]
            self.later = []

    def leftover(self, chance: Random) -> bytes:
        """What a power cut leaves."""
        found = chance.choice([self.durable, *self.later])
        stable = next((i for i, (a, b) in enumerate(zip(found, self.durable, strict=False)) if a != b), None)
        stable = min(len(found), len(self.durable)) if stable is None else stable
        found = found[: chance.choice([len(found), chance.randint(stable, len(found))])]
        start = chance.randint(stable, len(found))
        end = chance.choice([start, chance.randint(start, len(found))])
        return found[:start] + bytes(end - start) + found[end:]


class Disk:
    """One volume. Use as a context manager: inside it the file functions of Python that change `root` come here."""

    def __init__(self, root: Path, chance: Random) -> None:
        root.mkdir()
        self.root = root
        self.error: int | None = None
        """ENOSPC or EROFS while the disk takes no changes."""
        self.calls = 0
        self._prefix = f"{root}/"
        self._chance = chance
        self._inodes = root.with_name("inodes")
        """A second name of every file, so that a deleted one keeps its number and content."""
        self._inodes.mkdir()
        self._names: dict[str, int] = {}
        self._pending: list[dict[str, int | None]] = []
        self._files: dict[int, _File] = {}
        self._holders: dict[int, tuple[str, Callable[[], object]]] = {}
        self._folders: dict[int, str] = {}
        self._actor = ""
        self._fault: Fault | None = None
        self._space = 0
        self._is_dead = False
        self._sync_fails = False
        self._is_real = False
        self._real = {name: getattr(os, name) for name in _CALLS} | {"io.open": io.open, "flock": fcntl.flock}

    def __enter__(self) -> "Disk":
        self._patches = contextlib.ExitStack()
        for name in _CALLS:
            self._patches.enter_context(mock.patch.object(os, name, getattr(self, f"_{name}", self._unknown(name))))
        self._patches.enter_context(mock.patch.object(io, "open", self._io_open))
        self._patches.enter_context(mock.patch.object(fcntl, "flock", self._flock))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()
        for actor in {actor for actor, _ in self._holders.values()}:
            self.kill(actor)

    @contextlib.contextmanager
    def acting(self, actor: str, fault: Fault | None) -> Iterator[None]:
        """What happens inside is done by a process called `actor`. Raises Killed when the fault ends it."""
        self._actor, self._fault = actor, fault
        try:
            yield
        finally:
            self._fault, self._is_dead, self._sync_fails = None, False, False

    def fail(self, number: int | None) -> None:
        """Take no changes from now on, with this errno; or take them again."""
        self.error, self._space = number, self._chance.randrange(300)

    def kill(self, actor: str) -> None:
        """kill -9: the kernel closes what the process had open, and so its locks fall."""
        for _, close in [holder for holder in self._holders.values() if holder[0] == actor]:
            close()

    def cut_power(self) -> None:
        """All processes die; what was not synced is lost in part."""
        for actor in {actor for actor, _ in self._holders.values()}:
            self.kill(actor)
        names = dict(self._names)
        keep = self._chance.choice([0.0, 0.5, 1.0])
        for change in self._pending:
            if self._chance.random() < keep:
                _apply(names, change)
        for number, file in self._files.items():
            if file.later:
                self._replace(number, file.leftover(self._chance))
        self._is_real = True
        self._names, self._pending = {}, []
        self._make(names)
        self._is_real = False

    def _make(self, names: dict[str, int]) -> None:
        """Make the real folder hold these names, but for those whose folder is lost."""
        for folder, folders, files in self.root.walk(top_down=False):
            for path in map(folder.joinpath, files):
                if names.get(str(path)) != path.stat().st_ino:
                    path.unlink()
            for path in map(folder.joinpath, folders):
                if str(path) not in names:
                    shutil.rmtree(path)
        for path, number in sorted((Path(name), number) for name, number in names.items()):
            if path.parent.is_dir():
                self._names[str(path)] = number
                if number == FOLDER:
                    path.mkdir(exist_ok=True)
                elif not path.exists():
                    path.hardlink_to(self._inodes / str(number))

    def _replace(self, number: int, content: bytes) -> None:
        """Give a file this content, on disk and for all who have it open."""
        fd = self._real["open"](self._inodes / str(number), os.O_WRONLY)
        self._real["ftruncate"](fd, 0)
        self._real["write"](fd, content)
        self._real["close"](fd)
        file = self._files[number]
        file.durable, file.later = content, []

    # ------------------------------------------------------------ before a call

    def _ours(self, path: object) -> bool:
        return not self._is_real and isinstance(path, str | os.PathLike) and f"{path}/".startswith(self._prefix)

    def _step(self) -> None:
        """One call begins: it is refused, or the last thing that its process wanted to do."""
        if self._is_dead:
            raise Killed
        self.calls += 1
        if self._fault is not None:
            if self._fault.step <= 0:
                self._strike(self._fault)
            else:
                self._fault = self._fault._replace(step=self._fault.step - 1)

    def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case "kill" | "power":
                self._is_dead = True
                raise Killed
            case "full":
                self.fail(errno.ENOSPC)
            case "read_only":
                self.fail(errno.EROFS)
            case "sync_error":
                self._sync_fails = True
                return
            case "short_write":
                return
        self._fault = None

    def _change(self, path: object, *, needs_space: bool = True) -> None:
        """A call that changes the disk begins."""
        self._step()
        if self.error == errno.EROFS or (needs_space and self.error == errno.ENOSPC):
            raise OSError(self.error, os.strerror(self.error), str(path))

    # -------------------------------------------------------------- the calls

    def _unknown(self, name: str) -> Callable[..., Any]:
        def call(path: object, *args: Any, **kwargs: Any) -> Any:
            assert not self._ours(path), f"the faulty disk does not know os.{name}"
            return self._real[name](path, *args, **kwargs)

        return call

    def _open(self, path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if not self._ours(path):
            return int(self._real["open"](path, flags, mode, **options))
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        if is_new:
            self._change(path)
        elif flags & os.O_TRUNC:
            self._change(path, needs_space=False)
        else:
            self._step()
        fd = int(self._real["open"](path, flags, mode, **options))
        if flags & os.O_DIRECTORY:
            self._folders[fd] = os.fspath(path)
        elif is_new:
            number = os.fstat(fd).st_ino
            self._real["link"](path, self._inodes / str(number))
            self._files[number] = _File()
            self._pending.append({os.fspath(path): number})
        elif flags & os.O_TRUNC:
            self._changed(fd)
        self._holders[fd] = self._actor, lambda: self._close(fd)
        return fd

    def _io_open(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not self._ours(file) or mode.startswith("r"):
            return self._real["io.open"](file, mode, *args, **kwargs)
        flags = {"wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "a+b": os.O_RDWR | os.O_CREAT | os.O_APPEND}[mode]
        raw = _Raw(self, self._open(file, flags, 0o666))
        return io.BufferedWriter(raw) if mode == "wb" else raw

    def _close(self, fd: int) -> None:
        self._holders.pop(fd, None)
        self._folders.pop(fd, None)
        self._real["close"](fd)

    def _flock(self, file: Any, operation: int) -> None:
        if (file if isinstance(file, int) else file.fileno()) in self._holders:
            self._step()
        self._real["flock"](file, operation)

    def _write(self, fd: int, data: Any) -> int:
        if fd not in self._holders:
            return int(self._real["write"](fd, data))
        was_dead = self._is_dead
        try:
            self._step()
        except Killed:
            if not was_dead:
                self._real["write"](fd, bytes(data)[: self._chance.randrange(len(data) + 1)])
                self._changed(fd)
            raise
        if self.error == errno.ENOSPC and self._space:
            data = bytes(data)[: self._space]
            self._space -= len(data)
        elif self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        elif self._fault is not None and self._fault == ("short_write", 0):
            data, self._fault = bytes(data)[: self._chance.randint(1, len(data))], None
        size = int(self._real["write"](fd, data))
        self._changed(fd)
        return size

    def _ftruncate(self, fd: int, size: int) -> None:
        if fd in self._holders:
            self._change(fd, needs_space=False)
        self._real["ftruncate"](fd, size)
        if fd in self._holders:
            self._changed(fd)

    def _changed(self, fd: int) -> None:
        number = os.fstat(fd).st_ino
        self._files[number].later.append((self._inodes / str(number)).read_bytes())

    def _fchmod(self, fd: int, mode: int) -> None:
        if fd in self._holders:
            self._change(fd, needs_space=False)
        self._real["fchmod"](fd, mode)

    def _fsync(self, fd: int) -> None:
        if fd not in self._holders:
            self._real["fsync"](fd)
            return
        self._step()
        number = os.fstat(fd).st_ino
        if self._sync_fails or self.error == errno.EROFS:
            self._sync_fails, self._fault = False, None
            if fd not in self._folders and self._files[number].later:
                self._replace(number, self._files[number].leftover(self._chance))
            code = self.error or errno.EIO
            raise OSError(code, os.strerror(code))
        if fd in self._folders:
            self._sync_names(self._folders[fd])
        else:
            self._files[number].sync()

    _fdatasync = _fsync

    def _sync_names(self, folder: str) -> None:
        for change in self._pending:
            here = {path: change.pop(path) for path in list(change) if os.path.dirname(path) == folder}  # noqa: PTH120
            _apply(self._names, here)
        self._pending = [change for change in self._pending if change]

    def _rename(self, source: Any, target: Any) -> None:
        if not self._ours(source):
            self._real["rename"](source, target)
            return
        self._change(source)
        number = Path(source).stat().st_ino
        self._real["rename"](source, target)
        if not os.path.lexists(source):
            self._pending.append({os.fspath(source): None, os.fspath(target): number})

    def _link(self, source: Any, target: Any, **options: Any) -> None:
        if self._ours(target):
            self._change(target)
        self._real["link"](source, target, **options)
        if self._ours(target):
            self._pending.append({os.fspath(target): Path(source).stat().st_ino})

    def _unlink(self, path: Any, **options: Any) -> None:
        if self._ours(path):
            self._change(path, needs_space=False)
        self._real["unlink"](path, **options)
        if self._ours(path):
            self._pending.append({os.fspath(path): None})

    def _mkdir(self, path: Any, *args: Any, **options: Any) -> None:
        if self._ours(path):
            self._change(path)
        self._real["mkdir"](path, *args, **options)
        if self._ours(path):
            self._pending.append({os.fspath(path): FOLDER})


#: Everything in `os` that changes a file system and takes a path or a descriptor of ours.
_CALLS = (
    *("open", "close", "write", "ftruncate", "fchmod", "fsync", "fdatasync", "rename", "link", "unlink", "mkdir"),
    *("remove", "rmdir", "replace", "truncate", "symlink", "chmod", "mknod", "makedirs", "renames", "writev", "pwrite"),
)


class _Raw(io.RawIOBase):
    """What `open` gives for a file of ours."""

    def __init__(self, disk: Disk, fd: int) -> None:
        super().__init__()
        self._disk, self._fd = disk, fd
        disk._holders[fd] = disk._actor, self.close

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._disk._close(self._fd)


def _apply(names: dict[str, int], change: dict[str, int | None]) -> None:
    for path, number in change.items():
        if number is None:
            names.pop(path, None)
        else:
            names[path] = number
