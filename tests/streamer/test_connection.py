"""Which errors are retried, what they are called, and how long to wait."""

import socket
import ssl
from itertools import islice

import pytest

from streamer.capture import NoAnswer
from streamer.connection import backoff, cause_of, code_of, is_retryable
from streamer.transports import ConnectionEnded, HandshakeBroken, HandshakeRefused
from streamer.watchdog import FeedSilent


@pytest.mark.parametrize(
    ("error", "retryable", "cause", "code"),
    [
        (HandshakeRefused(429), True, "refused", 429),
        (HandshakeRefused(500), True, "refused", 500),
        (HandshakeRefused(503), True, "refused", 503),
        (HandshakeRefused(408), True, "refused", 408),
        (HandshakeRefused(200), False, "refused", 200),
        (HandshakeRefused(401), False, "refused", 401),
        (HandshakeRefused(404), False, "refused", 404),
        (HandshakeBroken("eof"), True, "handshake", None),
        (ConnectionEnded(1000, "bye"), True, "closed", 1000),
        (ConnectionEnded(1009, "big", frame_too_big=True), True, "frame_too_big", 1009),
        (NoAnswer("mute"), True, "no_answer", None),
        (FeedSilent(), True, "silent", None),
        (TimeoutError(), True, "timeout", None),
        (ConnectionRefusedError(111, "refused"), True, "network", 111),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), True, "name_resolution", socket.EAI_NONAME),
        (ssl.SSLCertVerificationError(1, "expired"), True, "network", 1),
        (ValueError("a bug"), False, "fatal", None),
        (RuntimeError("a bug"), False, "fatal", None),
        (KeyError("a bug"), False, "fatal", None),
    ],
    ids=repr,
)
def test_errors_are_sorted_by_name(error: Exception, retryable: bool, cause: str, code: int | None) -> None:
    """What the network or the exchange does passes; what is not named is a bug and fatal."""
    assert is_retryable(error) is retryable
    assert cause_of(error) == cause
    assert code_of(error) == code


def test_waits_grow_to_the_cap_and_stay() -> None:
    """Without the chance in it: 1, 2, 4 … and then the cap for ever."""
    assert list(islice(backoff(30, lambda low, high: high), 8)) == [1, 2, 4, 8, 16, 30, 30, 30]


def test_waits_are_random_from_the_first() -> None:
    """Half of every wait is left to chance."""
    assert list(islice(backoff(30, lambda low, high: low), 6)) == [0.5, 1, 2, 4, 8, 15]
    assert len(set(islice(backoff(30), 20))) == 20


def test_wait_is_never_longer_than_a_small_cap() -> None:
    """A cap below the first wait holds for it too."""
    assert list(islice(backoff(0.1, lambda low, high: high), 3)) == [0.1, 0.1, 0.1]
