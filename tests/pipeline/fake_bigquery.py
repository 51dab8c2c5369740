"""BigQuery in memory, for load jobs only: behind the real client library, in place of the network.

It keeps jobs and rows, takes a job id once, and executes a job whole or not at all, whenever it wants. Requests and
replies get lost, by number. Time is its own, and passes when somebody sleeps.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from requests.adapters import BaseAdapter

PROJECT = "market-pulse"
POISON = "poison"
"""A price that only BigQuery refuses: no check of ours knows it."""

#: What becomes of a call. `kill` ends the caller, `lost` is no reply, the others are BigQuery's refusals.
Trouble = Literal["kill before", "kill after", "lost before", "lost after", "503 before", "503 after", "429", "unseen"]
TROUBLES: tuple[Trouble, ...] = (
    "kill before",
    "kill after",
    "kill after",
    "lost before",
    "lost after",
    "503 before",
    "503 after",
    "429",
    "unseen",
)
#: What becomes of a job: done at once, after some seconds, after long; or ended with an error of this reason.
Fate = Literal["done", "slow", "very slow", "backendError", "quotaExceeded", "accessDenied"]
_SECONDS: Mapping[str, float] = {"slow": 3, "very slow": 400}


class Killed(BaseException):
    """The process that made the call is gone."""


class Clock:
    """Seconds that pass by sleeping."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def sleep(self, seconds: float) -> None:
        """In place of time.sleep."""
        self.now += seconds

    def monotonic(self) -> float:
        """In place of time.monotonic."""
        return self.now


@dataclass
class Calls:
    """The calls of one action, of whatever kind: each goes wrong with this probability."""

    chance: Random
    probability: float = 0.0

    def next(self) -> Trouble | None:
        """What becomes of the call that is made now."""
        return self.chance.choice(TROUBLES) if self.chance.random() < self.probability else None


QUIET = Calls(Random(0))


@dataclass
class Job:
    """A load job. `reason` is that of its error, once it has ended with one."""

    resource: dict[str, Any]
    data: bytes
    fate: Fate
    ends_at: float
    is_done: bool = False
    rows: int = 0
    reason: str = ""


class FakeBigQuery(BaseAdapter):
    """One project. `rows` has the lines of each table in the order of their arrival."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.calls = QUIET
        self.fates: list[Fate] = []
        self.jobs: dict[str, Job] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self._uploads: dict[str, tuple[dict[str, Any], bytearray]] = {}

    def client(self) -> bigquery.Client:
        """The real client over it."""
        session = requests.Session()
        session.mount("http://", self)
        return bigquery.Client(
            project=PROJECT,
            location="US",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            _http=session,
            client_options={"api_endpoint": "http://bigquery.test"},
        )

    def settle(self) -> None:
        """Execute what is due."""
        for job in self.jobs.values():
            if not job.is_done and job.ends_at <= self.clock.now:
                self._execute(job)

    # ------------------------------------------------------------------ transport

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        """One request, and what becomes of it."""
        self.clock.sleep(0.01)
        trouble = self.calls.next()
        url = urlsplit(str(request.url))
        if trouble == "unseen" and request.method == "GET":
            return _reply(request, 404, _error(404, "notFound"))
        if trouble == "429":
            return _reply(request, 429, _error(429, "rateLimitExceeded"))
        _before(trouble)
        if trouble == "503 before":
            return _reply(request, 503, _error(503, "backendError"))
        status, headers, body = self._answer(str(request.method), url.path, parse_qs(url.query), request)
        _after(trouble)
        if trouble == "503 after":
            return _reply(request, 503, _error(503, "backendError"))
        return _reply(request, status, body, headers)

    def close(self) -> None:
        """Nothing is held."""

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], request: requests.PreparedRequest
    ) -> tuple[int, dict[str, str], Any]:
        self.settle()
        body = _bytes(request.body)
        if method == "POST" and path.startswith("/upload/"):
            upload_id = f"upload-{len(self._uploads)}"
            self._uploads[upload_id] = json.loads(body), bytearray()
            return 200, {"location": f"http://bigquery.test{path}?upload_id={upload_id}"}, {}
        if method == "PUT":
            return self._chunk(query["upload_id"][0], str(request.headers["Content-Range"]), body)
        if method == "GET" and "/jobs/" in path:
            job = self.jobs.get(path.rpartition("/")[2])
            return (404, {}, _error(404, "notFound")) if job is None else (200, {}, self._described(job))
        if method == "DELETE" and "/tables/" in path:
            self.rows.pop(path.rpartition("/")[2], None)
            return 204, {}, {}
        raise AssertionError(f"{method} {path}: the fake does not know this request")

    def _chunk(self, upload_id: str, content_range: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        if upload_id not in self._uploads:
            return 404, {}, _error(404, "notFound")
        resource, data = self._uploads[upload_id]
        span, _, total = content_range.removeprefix("bytes ").partition("/")
        if span != "*":
            assert int(span.partition("-")[0]) == len(data), "a chunk was sent that is there, or with a hole"
            data += body
        if total == "*" or len(data) < int(total):
            return 308, {"range": f"bytes=0-{len(data) - 1}"} if data else {}, {}
        del self._uploads[upload_id]
        job_id = resource["jobReference"]["jobId"]
        if job_id in self.jobs:
            return 409, {}, _error(409, "duplicate")
        fate = self.fates.pop(0) if self.fates else "done"
        job = Job(resource, bytes(data), fate, self.clock.now + _SECONDS.get(fate, 0))
        self.jobs[job_id] = job
        self.settle()
        return 200, {}, self._described(job)

    # ------------------------------------------------------------------ jobs

    def _execute(self, job: Job) -> None:
        job.is_done = True
        load = job.resource["configuration"]["load"]
        table = load["destinationTable"]["tableId"]
        lines = [json.loads(line) for line in job.data.splitlines()]
        if job.fate not in ("done", *_SECONDS):
            job.reason = job.fate
        elif any(_is_refused(line) for line in lines):
            job.reason = "invalid"
        else:
            job.rows = len(lines)
            before = [] if load["writeDisposition"] == "WRITE_TRUNCATE" else self.rows.get(table, [])
            self.rows[table] = before + lines

    def _described(self, job: Job) -> dict[str, Any]:
        status: dict[str, Any] = {"state": "DONE" if job.is_done else "RUNNING"}
        if job.reason:
            error = {"reason": job.reason, "message": f"{job.reason}: made up by a test"}
            status |= {"errorResult": error, "errors": [error]}
        statistics = {"creationTime": "1783465096000", "startTime": "1783465096000"}
        if job.is_done:
            statistics |= {"endTime": "1783465097000", "load": {"outputRows": str(job.rows)}}  # type: ignore[dict-item]
        return {**job.resource, "status": status, "statistics": statistics}


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def in_trouble[T](trouble: Trouble | None, call: Callable[[], T]) -> T:
    """A call that is no request, with the same troubles. Raises Killed or a ConnectionError."""
    _before("lost before" if trouble in ("429", "503 before", "unseen") else trouble)
    result = call()
    _after("lost after" if trouble == "503 after" else trouble)
    return result


def _before(trouble: Trouble | None) -> None:
    if trouble == "kill before":
        raise Killed
    if trouble == "lost before":
        raise requests.ConnectionError("nobody answers")


def _after(trouble: Trouble | None) -> None:
    if trouble == "kill after":
        raise Killed
    if trouble == "lost after":
        raise requests.ConnectionError("the reply is lost")


def _is_refused(line: Mapping[str, Any]) -> bool:
    return isinstance(line.get("trade_id"), str) or line.get("price") == POISON


def _error(status: int, reason: str) -> dict[str, Any]:
    detail = {"message": f"{reason}: made up by a test", "domain": "global", "reason": reason}
    return {"error": {"code": status, "message": detail["message"], "errors": [detail]}}


def _reply(
    request: requests.PreparedRequest, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> requests.Response:
    reply = requests.Response()
    reply.status_code = status
    reply.request = request
    reply.url = str(request.url)
    reply.headers.update({"Content-Type": "application/json"} | dict(headers or {}))
    reply.raw = io.BytesIO(json.dumps(body).encode())
    return reply
