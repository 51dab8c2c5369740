"""Gaps as they are written into the spool and counted."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
from websockets.asyncio.server import ServerConnection

from tests.streamer.support.exchange import Exchange, heartbeat_frame, match_frame, playing
from tests.streamer.support.running import Running
from tests.streamer.support.spool_view import Line, SpoolView, control
from tests.streamer.support.waiting import eventually

Run = Callable[..., AbstractAsyncContextManager[Running]]


def last_match_frame(trade_id: int) -> bytes:
    """The newest trade before a subscription."""
    return match_frame(trade_id).replace(b'"match"', b'"last_match"')


def gaps(lines: list[Line]) -> list[tuple[int, int, str]]:
    """First and last id of each gap, and what detected it."""
    return [
        (detail["first_missing"], detail["last_missing"], detail["detected_by"])
        for detail in control(lines, "pulse_gap")
    ]


async def test_gap_is_recorded_right_after_the_frame_that_shows_it(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """With product and connection; so is the trade that comes after all."""
    exchange.handler = playing(match_frame(1), match_frame(4), match_frame(3))
    async with running() as run:
        await run.messages(4)
    lines = spool.seal()
    types = [line.type for line in lines if line.connection_no == 1]
    assert types[3:8] == ["match", "match", "pulse_gap", "match", "pulse_gap_closed"]
    assert gaps(lines) == [(2, 3, "trade_id")]
    assert control(lines, "pulse_gap_closed") == [{"first": 3, "last": 3}]
    path = next(spool.path.glob("sealed/*.ndjson"))
    rows = [msgspec.json.decode(row) for row in path.read_bytes().splitlines()]
    assert {row["product_id"] for row in rows if row["type"].startswith("pulse_gap")} == {"BTC-USD"}


async def test_heartbeat_that_stays_ahead_is_recorded_without_another_frame(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """Time alone shows the gap."""
    exchange.handler = playing(match_frame(1), heartbeat_frame(3))
    async with running(gap_grace_ms=50) as run:
        await run.messages(3)
        await eventually(lambda: run.streamer.status.writer.durable_record_no == 7)
    assert gaps(spool.seal()) == [(2, 3, "heartbeat")]


async def test_reconnect_is_measured_by_last_match(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """What was missed between two connections."""

    async def play(exchange: Exchange, connection: ServerConnection) -> None:
        await exchange.acknowledge(connection)
        number = 10 * len(exchange.connections)
        await exchange.send(connection, last_match_frame(number))
        await exchange.send(connection, match_frame(number + 1))
        if number == 10:
            await connection.close(1012)
        await connection.wait_closed()

    exchange.handler = play
    async with running() as run:
        await run.messages(6)
    assert gaps(spool.seal()) == [(12, 19, "last_match")]


async def test_restart_is_measured_by_the_spool(exchange: Exchange, running: Run, spool: SpoolView) -> None:
    """What was missed between two sessions; once."""
    exchange.handler = playing(last_match_frame(10), match_frame(11))
    async with running() as run:
        await run.messages(3)
    exchange.handler = playing(last_match_frame(20), match_frame(21))
    async with running() as run:
        await run.messages(3)
    exchange.handler = playing(last_match_frame(21), match_frame(22))
    async with running() as run:
        await run.messages(3)
    assert gaps(spool.seal()) == [(12, 19, "restart")]


async def test_what_an_earlier_session_missed_is_closed_when_it_comes(
    exchange: Exchange, running: Run, spool: SpoolView
) -> None:
    """A heartbeat named a trade that did not come; the session ended, and the next one gets it as its last match."""
    exchange.handler = playing(match_frame(1), match_frame(4), heartbeat_frame(5))
    async with running(gap_grace_ms=10) as run:
        await run.messages(4)
        await eventually(lambda: run.streamer.status.writer.durable_record_no == 9)
    exchange.handler = playing(last_match_frame(5), match_frame(6), match_frame(3))
    async with running() as run:
        await run.messages(4)
    lines = spool.seal()
    assert gaps(lines) == [(2, 3, "trade_id"), (5, 5, "heartbeat")]
    assert control(lines, "pulse_gap_closed") == [{"first": 5, "last": 5}, {"first": 3, "last": 3}]


async def test_gaps_are_counted_under_bounded_labels(exchange: Exchange, running: Run) -> None:
    """By product and what detected them; products nobody asked for share a label."""
    exchange.handler = playing(
        match_frame(1),
        match_frame(5),
        match_frame(2),
        match_frame(2),
        match_frame(1, "DOGE-USD"),
        match_frame(3, "DOGE-USD"),
        match_frame(-1),
    )
    async with running() as run:
        await run.messages(8)
        _, metrics = await run.get("/metrics")
    found = dict(re.findall(r"^pulse_streamer_(\S+) (\S+)$", metrics, re.MULTILINE))
    assert found['gaps_total{detected_by="trade_id",product="BTC-USD"}'] == "1.0"
    assert found['gaps_total{detected_by="restart",product="BTC-USD"}'] == "0.0"
    assert found['gaps_total{detected_by="trade_id",product="other"}'] == "1.0"
    assert found['missing_trades_total{product="BTC-USD"}'] == "3.0"
    assert found['late_trades_total{product="BTC-USD"}'] == "1.0"
    assert found['duplicate_trades_total{product="BTC-USD"}'] == "1.0"
    assert found["implausible_trade_ids_total"] == "1.0"
