"""Questions to the ledger from the event loop: asked in a thread of their own, one after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from simulator.ledger_reader import LedgerReader


class Queries:
    """One reader and its thread."""

    def __init__(self, path: Path) -> None:
        self._reader = LedgerReader(path)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queries")

    async def run[T](self, question: Callable[[LedgerReader], T]) -> T:
        """The answer to one question; it must be complete, no iterator that still reads."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, question, self._reader)

    def close(self) -> None:
        """Wait for the question under way, then close the file."""
        self._executor.shutdown(cancel_futures=True)
        self._reader.close()
