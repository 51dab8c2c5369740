"""What befalls the parts from outside, at random moments, while the pipeline works: one thread, one seed."""

import threading
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from chaos.parts import Exchange, Proxy, Streamer, WarehouseServer
from chaos.points import STREAMER, STREAMER_POINTS
from chaos.tally import Tally

_LOOK_SECONDS = 0.2
#: A fault of the feed that is to come back again and again.
_LASTING: tuple[dict[str, Any], ...] = (
    {"kind": "duplicate", "probability": 0.004},
    {"kind": "duplicate", "probability": 0.004, "message_type": "ticker"},
    {"kind": "reorder", "probability": 0.003, "distance": 2},
    {"kind": "skip", "probability": 0.002},
    {"kind": "malformed", "probability": 0.0015},
    {"kind": "malformed", "probability": 0.0007, "replace": True},
    {"kind": "malformed", "probability": 0.0005, "base64": "eyJ0eXBlIjoibWF0Y2giLCJ4IjoiYf8ifQ=="},
    {"kind": "newline", "probability": 0.003},
    {"kind": "new_field", "probability": 0.0007},
    {"kind": "unknown_type", "probability": 0.0005},
    # Valid messages that no column takes: BigQuery refuses their lines.
    {"kind": "malformed", "probability": 0.0004, "text": '{"type":"ticker","trade_id":"x1","product_id":"BTC-USD"}'},
    {"kind": "malformed", "probability": 0.0002, "text": '{"type":"match","trade_id":[7],"product_id":"ETH-USD"}'},
)
_UPLOAD, _JOB, _QUERY = "/upload/", "/jobs/pulse_load", "/queries"
#: A request of the loader is given up after PULSE_LOAD_REQUEST_TIMEOUT_SECONDS, which is less.
HANG_SECONDS = 3.0
_REFUSALS: tuple[tuple[int, str], ...] = (
    (503, "backendError"),
    (500, "internalError"),
    (429, "rateLimitExceeded"),
    (403, "quotaExceeded"),
    (403, "rateLimitExceeded"),
)


class Weather:
    """Faults and kills of everything but the tasks. `calm` ends it and leaves all parts well."""

    def __init__(
        self,
        exchange: Exchange,
        streamer: Streamer,
        warehouse: WarehouseServer,
        proxy: Proxy,
        tally: Tally,
        *,
        seed: int,
        pace: float,
    ) -> None:
        """`pace` is the mean time between two events, in seconds."""
        self._exchange = exchange
        self._streamer = streamer
        self._warehouse = warehouse
        self._proxy = proxy
        self._tally = tally
        self._chance = Random(f"{seed} weather")
        self._pace = pace
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="weather", daemon=True)
        self._deck: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin."""
        self.arm_feed()
        self._thread.start()

    def arm_feed(self) -> None:
        """Put the lasting faults of the feed in wait."""
        for fault in _LASTING:
            self._exchange.inject(**fault, count=None)

    def calm(self) -> None:
        """End it. Raises what a part failed with."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._exchange.clear()
        self._note_injections()
        for fault in self._proxy.faults():
            if fault["hits"]:
                self._tally.fault("warehouse's answers", _described(fault), fault["hits"])
        self._proxy.clear()
        self._streamer.look()
        self._streamer.stop()
        self._note_death()
        self._streamer.start()  # the last one, which dies nowhere

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._event()
                until = self._chance.uniform(0, 2 * self._pace)
                while until > 0 and not self._ended.wait(_LOOK_SECONDS):
                    until -= _LOOK_SECONDS
                    self._keep_streamer()
        except BaseException as error:  # handed to the thread that asks
            self._failure = error

    def _event(self) -> None:
        if not self._deck:
            self._deck = [
                *[self._kill_streamer] * 2,
                *[self._disturb_feed] * 3,
                *[self._disturb_warehouse] * 6,
                self._fill_disk,
                self._hang_streamer,
                self._kill_warehouse,
                self._kill_exchange,
            ]
            self._chance.shuffle(self._deck)
        self._deck.pop()()

    # ------------------------------------------------------------------ kills

    def _keep_streamer(self) -> None:
        """Look at it, and start it again when it died: every second time as one that will die at a point."""
        if self._streamer.is_running:
            self._streamer.look()
            return
        self._note_death()
        point = self._chance.choice([*[None] * len(STREAMER_POINTS), *STREAMER_POINTS])
        if point is None:
            self._streamer.start()
        else:
            self._streamer.start(point.name, self._chance.randint(1, point.most))

    def _note_death(self) -> None:
        if self._streamer.was_killed and self._streamer.point:
            self._tally.kill(STREAMER, self._streamer.point)
            self._streamer.point = None

    def _kill_streamer(self) -> None:
        self._streamer.look()
        if self._streamer.kill():
            self._streamer.point = None
            self._tally.kill(STREAMER, "any moment")

    def _kill_warehouse(self) -> None:
        if self._warehouse.kill():
            self._tally.kill("warehouse", "any moment")
        self._ended.wait(self._chance.uniform(0, 2))
        self._warehouse.start()

    def _kill_exchange(self) -> None:
        self._note_injections()
        if self._exchange.kill():
            self._tally.kill("exchange", "any moment")
        self._exchange.start()
        self.arm_feed()

    def _note_injections(self) -> None:
        for kind, times in self._exchange.injected().items():
            self._tally.fault("feed", kind, times)

    # ------------------------------------------------------------------ faults

    def _fill_disk(self) -> None:
        self._streamer.fill_disk(True)
        self._ended.wait(self._chance.uniform(0.5, 2))
        self._streamer.fill_disk(False)
        self._tally.fault(STREAMER, "disk full for a while")

    def _hang_streamer(self) -> None:
        self._streamer.hang(True)
        self._ended.wait(self._chance.uniform(0.2, 2))
        self._streamer.hang(False)
        self._tally.fault(STREAMER, "stands still for a while")

    def _disturb_feed(self) -> None:
        events: list[dict[str, Any]] = [
            {"kind": "cut"},
            {"kind": "drop"},
            {"kind": "drop", "reset": True},
            {"kind": "close", "code": 1012},
            {"kind": "close", "code": 1001},
            {"kind": "stall", "duration_seconds": 1.5},
            {"kind": "error_frame"},
            {"kind": "refuse_handshake", "status": 429},
            {"kind": "oversize", "size_bytes": 200_000},
            {"kind": "burst", "product_id": "BTC-USD", "trades": 300},
        ]
        fault = self._chance.choice(events)
        self._exchange.inject(**fault)
        if fault["kind"] == "refuse_handshake":
            self._exchange.inject(kind="drop")

    def _disturb_warehouse(self) -> None:
        if sum(not fault["hits"] for fault in self._proxy.faults()) < 8:
            self._proxy.add(**self._answer())

    def _answer(self) -> dict[str, Any]:
        status, reason = self._chance.choice(_REFUSALS)
        refusal: Mapping[str, Any] = {"status": status, "reason": reason}
        return self._chance.choice(
            [
                {"method": "POST", "path": _UPLOAD, "kind": "error", **refusal},
                {"method": "PUT", "path": _UPLOAD, "kind": "error", **refusal},
                {"method": "PUT", "path": _UPLOAD, "kind": "error_after", **refusal},
                {"method": "PUT", "path": _UPLOAD, "kind": "error_after", "status": 409, "reason": "duplicate"},
                {"method": "PUT", "path": _UPLOAD, "kind": "error", "status": 409, "reason": "duplicate"},
                {"method": "PUT", "path": _UPLOAD, "kind": "drop_reply", "skip": self._chance.randrange(3)},
                {"method": "PUT", "path": _UPLOAD, "kind": "drop_request"},
                {"method": "PUT", "path": _UPLOAD, "kind": "garbage"},
                {"method": "PUT", "path": _UPLOAD, "kind": "hang", "seconds": HANG_SECONDS},
                {"method": "PUT", "path": _UPLOAD, "kind": "delay", "seconds": 1},
                {"method": "POST", "path": _UPLOAD, "kind": "hang", "seconds": HANG_SECONDS},
                # The job is refused in earnest: its table does not exist.
                {"method": "POST", "path": _UPLOAD, "kind": "replace", "find": '"messages"', "put": '"messagez"'},
                {"method": "PUT", "path": _UPLOAD, "kind": "job", "state": "PENDING"},
                {"method": "GET", "path": _JOB, "kind": "job", "state": "RUNNING", "times": 2},
                {"method": "GET", "path": _JOB, "kind": "error", "status": 404, "reason": "notFound"},
                {"method": "GET", "path": _JOB, "kind": "error", "status": 503, "reason": "backendError"},
                {"method": "GET", "path": _JOB, "kind": "drop_reply"},
                {"method": "POST", "path": _QUERY, "kind": "error", "status": 503, "reason": "backendError"},
                {"method": "POST", "path": _QUERY, "kind": "drop_reply"},
                {"method": "POST", "path": _QUERY, "kind": "drop_request"},
                {"method": "POST", "path": _QUERY, "kind": "hang", "seconds": 1},
            ]
        )


def _described(fault: Mapping[str, Any]) -> str:
    what = f"{fault['kind']} {fault['status']} {fault['reason']}" if "error" in fault["kind"] else str(fault["kind"])
    return f"{fault['method']} {fault['path']}: {what}"
