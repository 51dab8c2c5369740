"""`make page-test`: both senders, every channel, one verdict."""

import os
import subprocess
import sys
from pathlib import Path

from tests.alerting.receivers import REPO, Receivers


def page_test(home: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    return subprocess.run(
        [sys.executable, "-m", "stack", "page-test"],
        cwd=REPO,
        env=inherited | settings | {"PULSE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_channel_of_airflow_and_streamer_is_tried_and_a_failure_fails(tmp_path: Path) -> None:
    """Slack refuses: the line says why without the address, the others are ok, and the exit status is 1."""
    with Receivers() as receivers:
        receivers.refusals = {"slack": 403}
        done = page_test(tmp_path, receivers.settings())

        lines = {tuple(line.split()[:2]): line.split(maxsplit=2)[2] for line in done.stdout.splitlines()}
        assert done.returncode == 1
        for sender in ("airflow", "streamer"):
            assert "403" in lines[sender, "slack"]
            assert [lines[sender, channel] for channel in ("pagerduty", "smtp", "webhook")] == ["ok"] * 3
        assert "not-a-real-token" not in done.stdout + done.stderr
        assert [each.body["event_action"] for each in receivers.received["pagerduty"]] == ["trigger", "resolve"] * 2
        assert receivers.problems() == []


def test_no_channel_at_all_is_a_failure(tmp_path: Path) -> None:
    """Nobody would be told of anything."""
    done = page_test(tmp_path, {})

    assert done.returncode == 1
    assert done.stdout.count("no channel has an address") == 2
