"""Instants as text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.spool.timestamps import are_canonical, format_us, is_canonical, parse_ns

digits = st.text("0123456789", max_size=11)
fractions = (
    st.just("") | digits.map(lambda text: f".{text}") | st.sampled_from([".٩٩٩٩٩٩", ".12345²", "123456", ".+12345"])
)
seconds = st.sampled_from(["2026-07-07T22:58:16", "2026-07-07T22:58:17", "2026-02-29T00:00:00", "2026-07-07T22:58:16Z"])
offsets = st.sampled_from(["Z", "z", "", "+00:00"])
texts = st.builds(lambda second, fraction, offset: second + fraction + offset, seconds, fractions, offsets)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-07-07T22:58:16.123456Z", 1_783_465_096_123_456_000),
        ("2026-07-07T22:58:16.123456789Z", 1_783_465_096_123_456_789),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2026-07-07T22:58:16.1234567890Z", None),
        ("2026-07-07T22:58:16.123456Z\n", None),
        ("2026-02-29T00:00:00Z", None),
        ("0000-01-01T00:00:00Z", None),
    ],
)
def test_instants_are_read_to_the_nanosecond(text: str, nanoseconds: int | None) -> None:
    """RFC 3339 in UTC with up to nine decimals is read exactly; all else is no instant."""
    assert parse_ns(text) == nanoseconds


@given(st.integers(0, 253_402_300_799_999_999))
def test_instants_survive_the_round_trip(microseconds: int) -> None:
    """What is formatted is read back exactly, up to the year 9999."""
    assert parse_ns(format_us(microseconds)) == microseconds * 1000


@given(st.lists(texts | st.integers(0, 253_402_300_799_999_999).map(format_us)))
@example(["2026-07-07T22:58:16.000000Z", "2026-07-07T24:00:00.000000Z"])
@example(["2026-07-07T22:58:16.000000Z", "2026-07-07T22:58:60.000000Z"])
@example(["0000-07-07T22:58:16.000000Z"])
def test_many_are_canonical_when_each_is(many: list[str]) -> None:
    """Looking at all at once finds what looking at each finds."""
    assert are_canonical(many) == all(map(is_canonical, many))
