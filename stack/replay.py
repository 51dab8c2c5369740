"""Ends a replay in order: when the recording is played and recorded, the streamer is stopped.

A feed that has gone silent for good would otherwise look like a fault, and the streamer's watchdog would reconnect for
ever.
"""

import time
from pathlib import Path
from typing import Any

from stack import web
from stack.installation import Installation
from stack.plan import Plan
from stack.readiness import simulator_url, streamer_url
from stack.supervision import Supervisor

_POLL_SECONDS = 0.5
#: Frames on their way through sockets and buffers arrive within this time after the last was sent.
_SILENT_SECONDS = 2.0


def done_path(installation: Installation) -> Path:
    """Exists when this stack's replay is over."""
    return installation.run_dir / "replay-finished"


def watch_replay(installation: Installation, plan: Plan) -> None:
    """Wait until the replayer has sent everything and the streamer has written it, then stop the streamer.

    Safe to start again at any time. A part that does not answer is waited for: it may be restarting.
    """
    if done_path(installation).exists():
        return
    received: int | None = None
    silent_since = time.monotonic()
    while not (received is not None and time.monotonic() - silent_since >= _SILENT_SECONDS):
        time.sleep(_POLL_SECONDS)
        now_received = _received_after_the_end(plan)
        if now_received is None or now_received != received:
            received, silent_since = now_received, time.monotonic()
    done_path(installation).touch()
    Supervisor(installation).stop_part("streamer", wait=True)
    print(f"The replay is finished and recorded ({received} frames); the streamer was stopped.", flush=True)


def _received_after_the_end(plan: Plan) -> int | None:
    """Frames received, once the replayer has sent all; None before, and while the disk does not take them."""
    try:
        if not web.get_json(f"{simulator_url(plan)}/status")["finished"]:
            return None
        streamer: dict[str, Any] = web.get_json(f"{streamer_url(plan)}/status")
    except web.Unreachable:
        return None
    return None if streamer["state"] == "disk_failing" else int(streamer["messages_total"])
