"""A proxy in front of the local warehouse that gives BigQuery's worse answers, on command.

As a program: `python tests/warehouse/bigquery_proxy.py --upstream http://127.0.0.1:9050 --port 9051`; it prints one
line of JSON with its address when it listens. Control, on the same port:

    PUT    /_faults   a JSON list of faults replaces those that are set
    POST   /_faults   one more fault
    DELETE /_faults   all quiet
    GET    /_faults   what is set, with `hits`
    GET    /_log      method, path and answer of every request so far (the answer "dropped" where there was none)

A fault: `{"method": "PUT", "path": "regex", "kind": "error", "times": 2, …}`. It applies to requests whose method is
the same (or any) and whose path with query matches anywhere, `times` times (null: for ever), after `skip` of them; the
first fault that applies wins.

| kind         | effect                                                                                       |
|--------------|----------------------------------------------------------------------------------------------|
| error        | not forwarded; answers `status` with BigQuery's body for `reason` and `message`              |
| drop_request | not forwarded; the connection is cut                                                         |
| drop_reply   | forwarded; the connection is cut instead of the answer                                       |
| hang         | not forwarded; nothing is said for `seconds`, then the connection is cut                     |
| delay        | forwarded after `seconds`                                                                    |
| error_after  | forwarded; answers as `error` does                                                           |
| garbage      | forwarded; answers 200 with something that is not JSON                                       |
| job          | forwarded; in the answer, a job resource gets `state` and, where given, `reason`, `message`  |
| replace      | the bytes `find` in the request become `put` (of the same length), and it is forwarded       |
"""

import argparse
import http.client
import http.server
import json
import re
import socket
import sys
import threading
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

UPSTREAM_TIMEOUT_SECONDS = 120
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}

#: Status, headers and body.
type Answer = tuple[int, list[tuple[str, str]], bytes]

KINDS = frozenset({"error", "drop_request", "drop_reply", "hang", "delay", "error_after", "garbage", "job", "replace"})


@dataclass
class Fault:
    """See above."""

    kind: str
    path: str = ""
    method: str = ""
    times: int | None = 1
    skip: int = 0
    status: int = 503
    reason: str = "backendError"
    message: str = ""
    seconds: float = 0
    state: str = ""
    find: str = ""
    put: str = ""
    hits: int = field(default=0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}")

    def takes(self, method: str, path: str) -> bool:
        """Whether this request is hit; counts."""
        if self.method not in {"", method} or not re.search(self.path, path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


def error_body(status: int, reason: str, message: str) -> bytes:
    """An error as BigQuery's REST API words it."""
    text = message or f"{reason}: made up by a test"
    detail = {"message": text, "domain": "global", "reason": reason}
    return json.dumps({"error": {"code": status, "message": text, "errors": [detail]}}).encode()


class BigQueryProxy(http.server.ThreadingHTTPServer):
    """Serves from its start to `close`, in threads of its own."""

    daemon_threads = True

    def __init__(self, upstream: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.upstream = upstream
        self.log: list[tuple[str, str, int | str]] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """Stop; hanging requests are cut."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def add(self, kind: str, **options: Any) -> Fault:
        """One more fault."""
        fault = Fault(kind, **options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def replace(self, faults: list[Fault]) -> None:
        """These faults and no others."""
        with self._lock:
            self._faults = faults

    def faults(self) -> list[Fault]:
        """What is set."""
        with self._lock:
            return list(self._faults)

    def fault_for(self, method: str, path: str) -> Fault | None:
        """The fault that hits this request."""
        with self._lock:
            return next((fault for fault in self._faults if fault.takes(method, path)), None)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class _Cut(Exception):
    """End the connection without an answer."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BigQueryProxy

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet: GET /_log tells."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.startswith("/_"):
            self._control(body)
            return
        fault = self.server.fault_for(self.command, self.path)
        try:
            status, headers, answer = self._answer(fault, body)
        except (_Cut, ConnectionError, http.client.HTTPException):
            self.server.log.append((self.command, self.path, "dropped"))
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.server.log.append((self.command, self.path, status))
        self._reply(status, headers, answer)

    def _answer(self, fault: Fault | None, body: bytes) -> Answer:
        if fault is None:
            return self._forward(body)
        if fault.kind == "drop_request":
            raise _Cut
        if fault.kind == "hang":
            self.server.closing.wait(fault.seconds)
            raise _Cut
        if fault.kind == "error":
            return fault.status, [], error_body(fault.status, fault.reason, fault.message)
        if fault.kind == "delay":
            self.server.closing.wait(fault.seconds)
        if fault.kind == "replace":
            body = _replaced(body, fault)
        return _altered(self._forward(body), fault)

    def _forward(self, body: bytes) -> Answer:
        upstream = http.client.HTTPConnection(urlsplit(self.server.upstream).netloc, timeout=UPSTREAM_TIMEOUT_SECONDS)
        try:
            # The Host header stays: the warehouse builds the address of an upload from it.
            upstream.request(self.command, self.path, body, {**self.headers, "Connection": "close"})
            reply = upstream.getresponse()
            headers = [(name, value) for name, value in reply.getheaders() if name.lower() not in _HOP_BY_HOP]
            return reply.status, headers, reply.read()
        finally:
            upstream.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], answer: bytes) -> None:
        self.send_response(status)
        for name, value in headers or [("Content-Type", "application/json")]:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _control(self, body: bytes) -> None:
        if self.path == "/_log":
            self._reply(200, [], json.dumps(self.server.log).encode())
            return
        if self.command == "PUT":
            self.server.replace([Fault(**fault) for fault in json.loads(body)])
        elif self.command == "POST":
            self.server.add(**json.loads(body))
        elif self.command == "DELETE":
            self.server.replace([])
        self._reply(200, [], json.dumps([asdict(fault) for fault in self.server.faults()]).encode())


def _replaced(body: bytes, fault: Fault) -> bytes:
    find, put = fault.find.encode(), fault.put.encode()
    if len(find) != len(put):
        raise ValueError("find and put must have the same length")
    return body.replace(find, put)


def _altered(answer: Answer, fault: Fault) -> Answer:
    """What becomes of the warehouse's own answer."""
    status, headers, body = answer
    match fault.kind:
        case "drop_reply":
            raise _Cut
        case "error_after":
            return fault.status, [], error_body(fault.status, fault.reason, fault.message)
        case "garbage":
            return 200, [], b"<html>not what you asked for"
        case "job":
            return status, headers, _with_state(body, fault)
    return answer


def _with_state(answer: bytes, fault: Fault) -> bytes:
    job = json.loads(answer)
    if "status" not in job:
        return answer
    job["status"] = {"state": fault.state or "DONE"}
    if fault.state in {"", "DONE"}:
        error = {"reason": fault.reason, "message": fault.message or f"{fault.reason}: made up by a test"}
        job["status"] |= {"errorResult": error, "errors": [error]}
    return json.dumps(job).encode()


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description="A proxy that gives BigQuery's worse answers.")
    parser.add_argument("--upstream", required=True, help="REST endpoint of the local warehouse")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    options = parser.parse_args()
    proxy = BigQueryProxy(options.upstream, options.port)
    sys.stdout.write(json.dumps({"url": proxy.url}) + "\n")
    sys.stdout.flush()
    try:
        proxy.closing.wait()
    except KeyboardInterrupt:
        proxy.close()


if __name__ == "__main__":
    main()
