"""Blocking calls beside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future


async def in_thread[T](call: Callable[[], T], name: str) -> T:
    """What `call` returns or raises, from a daemon thread of its own.

    Unlike those of asyncio.to_thread, nobody waits for it at the end: a disk that hangs must not keep the process.
    """
    future: Future[T] = Future()

    def run() -> None:
        # From here on an awaiter that is cancelled leaves the future alone.
        future.set_running_or_notify_cancel()
        try:
            result = call()
        except BaseException as error:  # whatever it is, it is raised where the result is awaited
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
