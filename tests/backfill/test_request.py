"""What is refused before anything is fetched, and that the refusal says what to change."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.config import BackfillConfig
from include.pipeline.backfill.request import BackfillRequest, Mode, RequestRefused, check_known, days_of

NOW = datetime(2026, 7, 9, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "mode": "refetch",
    "window_start": "2026-07-07T00:00:00Z",
    "window_end": "2026-07-08T00:00:00+00:00",
    "products": ["BTC-USD", "ETH-USD", "BTC-USD"],
}


def asked(**fields: Any) -> BackfillRequest:
    return BackfillRequest.of(GOOD | fields, BackfillConfig(), NOW)


def test_a_good_request_is_taken() -> None:
    """Instants become UTC, products are named once, what is left out has its default."""
    request = asked(window_end="2026-07-08T02:00:00+02:00")

    assert request.mode is Mode.REFETCH
    assert (request.start, request.end) == (datetime(2026, 7, 7, tzinfo=UTC), datetime(2026, 7, 8, tzinfo=UTC))
    assert request.products == ("BTC-USD", "ETH-USD")
    assert (request.dry_run, request.concurrency, request.only_missing) == (False, 3, True)
    assert BackfillRequest.from_dict(request.to_dict()) == request


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"window_start": "2026-07-08T01:00:00Z"}, "Exchange the two"),
        ({"window_start": GOOD["window_end"]}, "end is exclusive"),
        ({"window_start": "last tuesday"}, "Write it as 2026-07-07T22:00:00Z"),
        ({"window_end": "2026-07-09T12:00:01Z"}, "Set it to 2026-07-09T12:00:00Z or earlier"),
        ({"window_start": "2027-01-01", "window_end": "2027-01-02"}, "is in the future"),
        ({"window_start": "2026-01-01T00:00:00Z"}, "Set window_end to 2026-04-03T00:00:00Z or earlier"),
        ({"products": []}, "needs at least one"),
        ({"products": ["btc-usd"]}, "in capitals"),
        ({"dataset_prefix": "trial"}, "set mode to replay"),
        ({"mode": "replay", "dataset_prefix": "Trial"}, "small letters"),
    ],
)
def test_a_refusal_says_what_to_change(fields: dict[str, Any], said: str) -> None:
    """Order and size of the window, products, and members of another mode."""
    with pytest.raises(RequestRefused, match=said):
        asked(**fields)


def test_an_unknown_product_is_refused_with_the_one_that_was_meant() -> None:
    """The exchange's own list decides."""
    check_known(["BTC-USD"], ["BTC-USD", "ETH-USD"])
    with pytest.raises(RequestRefused, match=r"BTC-UDS \(did you mean BTC-USD\?\)"):
        check_known(["ETH-USD", "BTC-UDS"], ["BTC-USD", "ETH-USD"])


def test_a_rebuild_takes_whole_days_and_all_products() -> None:
    """Every UTC day that the window touches, the end excluded."""
    request = asked(mode="rebuild", window_start="2026-07-06T23:59:00Z", window_end="2026-07-08T00:00:00Z")

    assert request.products == ()
    assert days_of(request) == [datetime(2026, 7, 6, tzinfo=UTC) + timedelta(days=day) for day in range(2)]
