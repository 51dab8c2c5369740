"""Local receivers that stand for Slack, PagerDuty, a webhook, a dead man's switch and a mail server.

They answer as the services do. `problems` judges what was received by JSON schemas of the services' documented limits
(`schemas/`, each names its source); jsonschema is in the Airflow environment.
"""

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

from aiosmtpd.controller import Controller

REPO = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).parent / "schemas"

PAGERDUTY_KEY = "0123456789abcdef0123456789abcdef"  # pragma: allowlist secret
SLACK_PATH = "/services/T00000000/B00000000/not-a-real-token"
WEBHOOK_PATH = "/hooks/not-a-real-token"
DEADMAN_PATH = "/ping/not-a-real-token"
_CHANNEL_OF_PATH = {
    SLACK_PATH: "slack",
    "/v2/enqueue": "pagerduty",
    WEBHOOK_PATH: "webhook",
    DEADMAN_PATH: "deadman",
}


class Received(NamedTuple):
    """One message."""

    at: float
    """time.time() of its receipt."""
    body: Any
    headers: dict[str, str]


class Receivers:
    """All of them, each in a thread, while the block runs."""

    def __init__(self) -> None:
        self.received: dict[str, list[Received]] = defaultdict(list)
        self.refusals: dict[str, int] = {}
        """Channel → HTTP status it answers with, taking nothing. For mail any status means that it refuses."""
        receivers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                status, answer = receivers._take(self.path, self.rfile.read(size), dict(self.headers))
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Mail:
            async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
                if "smtp" in receivers.refusals:
                    return "451 not now"
                letter = message_from_bytes(envelope.content, policy=policy.default)
                receivers.received["smtp"].append(Received(time.time(), letter, {"To": ",".join(envelope.rcpt_tos)}))
                return "250 OK"

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._mail = Controller(Mail(), hostname="127.0.0.1", port=0)

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self._start_mail()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._mail.stop()

    def _start_mail(self) -> None:
        """aiosmtpd knows its port only when it is given one."""
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._mail.port = probe.getsockname()[1]
        self._mail.start()

    def _take(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        channel = _CHANNEL_OF_PATH.get(path)
        if channel is None:
            return 404, b"no such address"
        if channel in self.refusals:
            return self.refusals[channel], b"refused"
        content = json.loads(body) if body else None
        self.received[channel].append(Received(time.time(), content, headers))
        if channel == "pagerduty":
            return 202, json.dumps(
                {"status": "success", "message": "Event processed", "dedup_key": content.get("dedup_key", "")}
            ).encode()
        return 200, b"ok"

    @property
    def address(self) -> str:
        """Where HTTP is received."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def settings(self) -> dict[str, str]:
        """PULSE_ variables that point all channels here."""
        return {
            "PULSE_ALERT_SLACK_URL": self.address + SLACK_PATH,
            "PULSE_ALERT_PAGERDUTY_URL": self.address,
            "PULSE_ALERT_PAGERDUTY_KEY": PAGERDUTY_KEY,
            "PULSE_ALERT_WEBHOOK_URL": self.address + WEBHOOK_PATH,
            "PULSE_ALERT_SMTP_HOST": "127.0.0.1",
            "PULSE_ALERT_SMTP_PORT": str(self._mail.port),
            "PULSE_ALERT_SMTP_SECURITY": "none",
            "PULSE_ALERT_SMTP_TO": "oncall@example.org",
            "PULSE_DEADMAN_URL": self.address + DEADMAN_PATH,
        }

    def webhooks(self, **wanted: str) -> list[Received]:
        """What the webhook got, with members of these values only (alert, kind, scope …)."""
        return [
            each for each in self.received["webhook"] if all(each.body[name] == value for name, value in wanted.items())
        ]

    def mails(self) -> list[EmailMessage]:
        """The mails."""
        return [each.body for each in self.received["smtp"]]

    def problems(self) -> list[str]:
        """What of everything received breaks a service's rules."""
        bodies = {
            channel: [each.body for each in self.received[channel]] for channel in ("slack", "pagerduty", "webhook")
        }
        return judge(bodies)


def judge(bodies: dict[str, list[Any]]) -> list[str]:
    """Problems of bodies by channel, in a process of the environment that has jsonschema."""
    python = REPO / ".venvs" / "airflow" / "bin" / "python"
    done = subprocess.run(
        [python, Path(__file__)], input=json.dumps(bodies), capture_output=True, text=True, check=True
    )
    problems: list[str] = json.loads(done.stdout)
    return problems


def _judge_here(bodies: dict[str, list[Any]]) -> list[str]:
    import jsonschema

    found = []
    for channel, each in bodies.items():
        schema = json.loads((SCHEMAS / f"{channel}.json").read_text())
        validator = jsonschema.Draft202012Validator(schema)
        for body in each:
            found += [f"{channel}: {error.json_path}: {error.message[:300]}" for error in validator.iter_errors(body)]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_judge_here(json.load(sys.stdin))))
