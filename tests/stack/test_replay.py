"""A replay ends in order."""

import threading
from typing import Any

import pytest

from stack.installation import Installation
from stack.parts import Part
from stack.replay import done_path, watch_replay
from tests.stack.conftest import SLEEPER, Eventually, StartToys
from tests.stack.support import json_server, plan_on_ports

STREAMER = Part("streamer", SLEEPER)


def test_the_streamer_is_stopped_when_all_is_sent_and_recorded(
    installation: Installation, start_toys: StartToys, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while frames are still to be sent, not while they still arrive; then once, for good."""
    monkeypatch.setattr("stack.replay._POLL_SECONDS", 0.01)
    monkeypatch.setattr("stack.replay._SILENT_SECONDS", 0.2)
    supervisor = start_toys([STREAMER])
    supervisor.start_part(STREAMER)
    replayer: dict[str, Any] = {"/status": {"finished": False}}
    recorder: dict[str, Any] = {"/status": {"state": "streaming", "messages_total": 1}}
    with json_server(replayer) as simulator, json_server(recorder) as streamer:
        plan = plan_on_ports(simulator=simulator, streamer=streamer)
        watcher = threading.Thread(target=watch_replay, args=(installation, plan))
        watcher.start()
        watcher.join(0.5)
        assert watcher.is_alive(), "stopped before everything was sent"
        recorder["/status"] = {"state": "disk_failing", "messages_total": 1}
        replayer["/status"] = {"finished": True}
        watcher.join(0.5)
        assert watcher.is_alive(), "stopped while the disk did not take what was received"
        recorder["/status"] = {"state": "streaming", "messages_total": 2}
        watcher.join(10)
        assert not watcher.is_alive()
    assert done_path(installation).exists()
    assert supervisor.processes()["streamer"].state == "STOPPED"


def test_a_watcher_started_again_after_the_end_does_nothing(installation: Installation) -> None:
    """It needs no part to answer any more."""
    done_path(installation).touch()
    watch_replay(installation, plan_on_ports())
