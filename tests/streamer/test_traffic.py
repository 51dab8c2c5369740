"""Rates and lags."""

import pytest

from include.config import StreamerConfig
from include.spool import judge_all
from streamer.traffic import Traffic, lag_seconds
from tests.streamer.support.exchange import heartbeat_frame, match_frame

RECEIVED_AT_US = 1_783_465_097_000_000  # 2026-07-07T22:58:17Z


def receive(traffic: Traffic, count: int) -> None:
    """Count some trades."""
    frames = [match_frame(number) for number in range(count)]
    traffic.count(frames, judge_all(frames), 0)


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
    traffic.count([frame], judge_all([frame]), RECEIVED_AT_US)
    assert len(lags) == counts


def test_lag_is_that_of_the_first_message_that_tells() -> None:
    """Of messages read at once one lag is taken; malformed frames and times that are none do not tell."""
    lags: list[float] = []
    traffic = Traffic(("BTC-USD",), lags.append)
    timeless = match_frame(1).replace(b'"time":"', b'"time":"?')
    frames = [b"oops", timeless, match_frame(2), match_frame(3)]

    traffic.count(frames, judge_all(frames), RECEIVED_AT_US)

    assert len(lags) == 1


def test_every_frame_counts_under_its_type_and_product() -> None:
    """Frames read at once are counted as one by one: malformed ones too, unknown types and products together."""
    traffic = Traffic(("BTC-USD",), lambda lag: None)
    strange = [b'{"type":"auction","product_id":"BTC-USD"}', b'{"type":"match","product_id":"NEW-USD"}']
    frames = [match_frame(1), b"oops", *strange, match_frame(2), b"{}"]

    traffic.count(frames, judge_all(frames), 0)

    size = len(match_frame(1))
    assert sorted(traffic.counts()) == [
        ("malformed", "", 2, 6),
        ("match", "BTC-USD", 2, 2 * size),
        ("match", "other", 1, len(strange[1])),
        ("other", "BTC-USD", 1, len(strange[0])),
    ]


def test_lag_is_sampled() -> None:
    """At most one a hundredth of a second."""
    lags: list[float] = []
    traffic = Traffic(("BTC-USD",), lags.append)
    for number in range(100):
        frames = [match_frame(number)]
        traffic.count(frames, judge_all(frames), RECEIVED_AT_US + 1000 * number)
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
