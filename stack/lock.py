"""One start or stop of a home at a time."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stack.installation import Installation


@contextmanager
def exclusive(installation: Installation, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the home's lock; the kernel drops it with the process.

    Waits, and says so, while another start or stop holds it.
    """
    installation.create_folders()
    with (installation.run_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another start or stop of this stack to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
