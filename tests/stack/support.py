"""Servers that answer as the parts do."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from include.config import Source
from stack.plan import Plan, make_plan


@contextmanager
def json_server(bodies: Mapping[str, object]) -> Iterator[int]:
    """Serve each path's body as JSON, 404 for the rest; yields the port. Bodies may change while it serves."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path in bodies
            content = msgspec.json.encode(bodies[self.path] if found else {"detail": "not found"})
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing on the screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def plan_on_ports(*, airflow: int = 1, simulator: int = 2, streamer: int = 3) -> Plan:
    """A simulated stack's plan with these ports."""
    environ = {
        "PULSE_AIRFLOW_PORT": str(airflow),
        "PULSE_SIMULATOR_REST_PORT": str(simulator),
        "PULSE_STREAMER_PORT": str(streamer),
    }
    return make_plan(Source.SIMULATED, environ, Path("/repository"))
