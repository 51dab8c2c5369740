"""Rates and lags."""

import pytest

from include.config import StreamerConfig
from include.spool import RecordEncoder, Session
from streamer.traffic import Traffic, lag_seconds
from tests.streamer.support.exchange import heartbeat_frame, match_frame

RECEIVED_AT_US = 1_783_465_097_000_000  # 2026-07-07T22:58:17Z


def receive(traffic: Traffic, count: int) -> None:
    """Count some trades."""
    encoder = RecordEncoder(Session.new("streamer-1", 0), lambda: 0)
    for number in range(count):
        frame = match_frame(number)
        traffic.count(encoder.frame(frame, 1), len(frame))


def test_rate_is_the_mean_of_the_last_ten_seconds() -> None:
    """A burst fades from the rate ten seconds after it."""
    traffic = Traffic(StreamerConfig().products, lambda lag: None)
    traffic.sample(100.0)
    assert traffic.messages_per_second() == 0
    receive(traffic, 50)
    for second in range(101, 111):
        traffic.sample(float(second))
    assert traffic.messages_per_second() == 5.0
    traffic.sample(111.0)
    assert traffic.messages_per_second() == 0.0
    assert traffic.messages == 50


@pytest.mark.parametrize(
    ("frame", "counts"),
    [
        (match_frame(1), True),
        (heartbeat_frame(1), True),
        (match_frame(1).replace(b'"match"', b'"last_match"'), False),
        (match_frame(1).replace(b'"time"', b'"at"'), False),
        (b'{"type":"ticker","time":"2026-07-07T22:58:16.156605Z"}', False),
    ],
)
def test_lag_is_taken_from_what_was_sent_just_now(frame: bytes, counts: bool) -> None:
    """Tickers and last matches may carry the time of an old trade."""
    lags: list[float] = []
    traffic = Traffic(("BTC-USD",), lags.append)
    encoder = RecordEncoder(Session.new("streamer-1", 0), lambda: RECEIVED_AT_US * 1000)
    traffic.count(encoder.frame(frame, 1), len(frame))
    assert len(lags) == counts


def test_lag_is_sampled() -> None:
    """At most one a hundredth of a second."""
    lags: list[float] = []
    traffic = Traffic(("BTC-USD",), lags.append)
    now = iter(range(RECEIVED_AT_US, RECEIVED_AT_US + 100_000, 1000))
    encoder = RecordEncoder(Session.new("streamer-1", 0), lambda: next(now) * 1000)
    for number in range(100):
        frame = match_frame(number)
        traffic.count(encoder.frame(frame, 1), len(frame))
    assert len(lags) == 10


@pytest.mark.parametrize(
    ("exchange_time", "lag"),
    [
        ("2026-07-07T22:58:16.500000Z", 0.5),
        ("2026-07-07T22:58:17.250Z", -0.25),
        ("2026-07-07T22:58:16+00:00", 1.0),
        ("2026-07-07T22:58:16", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_lag_is_the_time_from_the_exchange_to_us(exchange_time: str, lag: float | None) -> None:
    """Clocks differ, so it may be negative; what is no instant gives none."""
    assert lag_seconds(exchange_time, RECEIVED_AT_US) == (None if lag is None else pytest.approx(lag))
