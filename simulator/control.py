"""The control endpoint: what goes wrong, when asked."""

import asyncio
import json
from typing import Any

import msgspec
from aiohttp import web

from simulator import frames
from simulator.active_faults import ActiveFaults, kind_of
from simulator.answers import answer, bad_request, integer, not_found
from simulator.connection import Connection
from simulator.exchange import Exchange
from simulator.faults import Burst, Close, Drop, ErrorFrame, Fault, FrameFault, Stall, Waiting
from simulator.hub import Hub
from simulator.sent_journal import SentJournal
from simulator.source import Source


class Control:
    """Handlers of `/control/faults`, `/control/journal` and `/sent`."""

    def __init__(self, source: Source, hub: Hub, faults: ActiveFaults, journal: SentJournal | None) -> None:
        self._source = source
        self._hub = hub
        self._faults = faults
        self._journal = journal

    def routes(self) -> list[web.RouteDef]:
        """All of them, not rate limited."""
        return [
            web.post("/control/faults", self.inject),
            web.get("/control/faults", self.list_waiting),
            web.delete("/control/faults", self.clear),
            web.delete("/control/faults/{fault_id}", self.clear),
            web.get("/control/journal", self.list_injected),
            web.get("/sent", self.sent),
        ]

    async def inject(self, request: web.Request) -> web.Response:
        """A fault in wait is answered with 201 and its id, an action with 200 and what it did."""
        try:
            fault: Fault = msgspec.json.decode(await request.read(), type=Fault)
        except msgspec.DecodeError as error:
            raise bad_request(f"{error}. simulator/faults.py lists the faults and their members") from None
        if isinstance(fault, FrameFault | Burst):
            self._check_market(fault)
        if isinstance(fault, Waiting):
            return answer(json.dumps(self._faults.add(fault).described()), status=201)
        return answer(json.dumps({"kind": kind_of(fault), **await self._act(fault)}))

    async def list_waiting(self, _: web.Request) -> web.Response:
        """Faults in wait."""
        return answer(json.dumps({"faults": self._faults.listed()}))

    async def clear(self, request: web.Request) -> web.Response:
        """Take one or all faults out of wait; without an id stalled connections are revived, too."""
        text = request.match_info.get("fault_id")
        if text is None:
            for connection in self._hub.connections():
                connection.revive()
            return answer(json.dumps({"cleared": self._faults.clear()}))
        if not text.isdecimal() or not (cleared := self._faults.clear(int(text))):
            raise not_found()
        return answer(json.dumps({"cleared": cleared}))

    async def list_injected(self, request: web.Request) -> web.Response:
        """Injections behind number `after`, oldest first; `kind` narrows."""
        after, kind = integer(request, "after", 0), request.query.get("kind")
        entries = self._faults.journal(lambda entry: entry["no"] > after and kind in (None, entry["kind"]))
        return answer(json.dumps({"injected": entries}))

    async def sent(self, request: web.Request) -> web.StreamResponse:
        """The journal of frames sent to a connection."""
        if self._journal is None:
            raise web.HTTPConflict(
                text='{"message":"Sent frames are not recorded; set PULSE_SIMULATOR_RECORD_SENT=true"}',
                content_type="application/json",
            )
        number = integer(request, "connection", 0)
        if not 1 <= number <= self._hub.opened:
            raise not_found()
        path = self._journal.path(number)
        if not path.exists():
            return web.Response(content_type="application/x-ndjson")
        return web.FileResponse(path, headers={"Content-Type": "application/x-ndjson"})

    def _check_market(self, fault: FrameFault | Burst) -> None:
        if not isinstance(self._source, Exchange):
            raise web.HTTPConflict(
                text=json.dumps(
                    {"message": f"{kind_of(fault)} needs the simulated market; a replay is served verbatim"}
                ),
                content_type="application/json",
            )
        if fault.product_id is not None and fault.product_id not in self._source.products:
            raise bad_request(f"{fault.product_id} is not traded here; PULSE_SIMULATOR_PRODUCTS lists the products")

    async def _act(self, fault: Drop | Close | Stall | ErrorFrame | Burst) -> dict[str, Any]:
        if isinstance(fault, Burst):
            return await self._burst(fault)
        connections = self._hub.connections(None if fault.connection is None else [fault.connection])
        if fault.connection is not None and not connections:
            raise bad_request(f"connection {fault.connection} is not open")
        numbers = [connection.number for connection in connections]
        self._faults.record(kind_of(fault), connections=numbers)
        if isinstance(fault, Close):
            await asyncio.gather(*(connection.close(fault.code, fault.reason) for connection in connections))
        else:
            for connection in connections:
                _strike(connection, fault)
        return {"connections": numbers}

    async def _burst(self, fault: Burst) -> dict[str, Any]:
        assert isinstance(self._source, Exchange)
        made = await self._source.burst(fault.product_id, fault.trades)
        detail: dict[str, Any] = {
            "product_id": fault.product_id,
            "first_trade_id": made[0].trade_id,
            "last_trade_id": made[-1].trade_id,
        }
        self._faults.record(kind_of(fault), **detail)
        return detail


def _strike(connection: Connection, fault: Drop | Stall | ErrorFrame) -> None:
    match fault:
        case Drop():
            connection.drop(reset=fault.reset)
        case Stall():
            connection.stall(fault.duration_seconds, answer_pings=fault.answer_pings)
        case ErrorFrame():
            connection.answer([frames.error(fault.message, fault.reason)])
