"""Sealing in a process of its own, so that a backlog is sealed on several cores.

`SealerProcess` starts `python -m include.pipeline.sealer_process` and hands it one segment at a time: names go in
through its standard input, outcomes come back through its standard output, a line of JSON each. A fresh interpreter
instead of a fork, because a task of Airflow has threads and may be a daemon that multiprocessing lets have no children.

A sealer ends when its input does. So it ends with the process that started it, however that one ends, at the latest
after the segment it is at; and it may be killed at any point as any sealer may.
"""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Self

import msgspec

from include.coinbase.contract import Contracts
from include.spool import SealOutcome, SegmentName, Spool, seal

_REPOSITORY = Path(__file__).parents[2]


class SealerDied(Exception):
    """A sealer process ended before its work did. Every segment is whole, sealed or not; the next run goes on."""


class _Order(msgspec.Struct):
    name: SegmentName
    timeout_seconds: float


class _Refusal(msgspec.Struct, tag=True):
    """The OSError that came instead of an outcome."""

    errno: int
    text: str
    path: str


class _Done(msgspec.Struct, tag=True):
    outcome: SealOutcome


_decode_answer = msgspec.json.Decoder(_Done | _Refusal).decode


class SealerProcess:
    """A process that seals segments of one spool. Close it, or use it as a context, to end it."""

    def __init__(self, spool: Spool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "include.pipeline.sealer_process", str(spool.root.resolve()), spool.source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_REPOSITORY,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders = self._process.stdin
        self._answers = self._process.stdout

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def seal(self, name: SegmentName, timeout_seconds: float) -> SealOutcome:
        """As `include.spool.seal`, with the contracts. Raises OSError as that does, and SealerDied."""
        try:
            self._orders.write(msgspec.json.encode(_Order(name, timeout_seconds)) + b"\n")
            self._orders.flush()
        except BrokenPipeError as error:
            raise self._died(name) from error
        line = self._answers.readline()
        if not line:
            raise self._died(name)
        answer: _Done | _Refusal = _decode_answer(line)
        if isinstance(answer, _Refusal):
            raise OSError(answer.errno, answer.text, answer.path)
        return answer.outcome

    def _died(self, name: SegmentName) -> SealerDied:
        return SealerDied(
            f"the sealer process {self.pid} ended with status {self._process.wait()} at segment {name.file_name}. "
            "Hint: its error is in this log; nothing is lost, seal again"
        )

    def close(self) -> None:
        """Let the process end and wait for it."""
        with contextlib.suppress(BrokenPipeError):  # it died with an order unread
            self._orders.close()
        self._process.wait()
        self._answers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(spool: Spool) -> None:
    contracts = Contracts.load()
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=_Order)
        answer: _Done | _Refusal
        try:
            answer = _Done(seal(spool, order.name, order.timeout_seconds, inspector=contracts))
        except OSError as error:
            answer = _Refusal(error.errno or 0, error.strerror or str(error), str(error.filename or ""))
        try:
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            return  # whoever asked is gone


if __name__ == "__main__":
    _root, _source = sys.argv[1:]
    _serve(Spool.open(Path(_root), _source, create=False))
