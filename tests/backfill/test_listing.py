"""The exchange's list of products, from a real exchange into a real spool."""

import json
import urllib.request
from typing import Any

import pytest

from include.coinbase.contract import Contracts
from include.coinbase.rest import RestRefused, RestUnavailable
from include.config import BackfillConfig
from include.pipeline.listing import record_listing
from include.spool import SealKind, Spool, SpoolLocked, State, seal_all
from tests.backfill.conftest import Exchange


def recorded(spool: Spool) -> list[dict[str, Any]]:
    """Every record of the one session, sealed and read from the file."""
    report = seal_all(spool, timeout_seconds=5, inspector=Contracts.load())
    assert report.of(SealKind.QUARANTINED) == []
    (name,) = spool.segments(State.SEALED)
    assert spool.manifest(name, State.SEALED).drift == []
    return [json.loads(line) for line in spool.path(name, State.SEALED).read_text().splitlines()]


def test_every_product_is_recorded_with_all_that_the_exchange_says_of_it(
    exchange: Exchange, config: BackfillConfig, spool: Spool
) -> None:
    """Members that no model knows are kept, too; the session is numbered without a hole and ends in order."""
    outcome = record_listing(spool, config)

    with urllib.request.urlopen(f"{exchange.url}/products", timeout=10) as reply:
        listed = json.load(reply)
    records = recorded(spool)
    assert [record["type"] for record in records] == [
        "pulse_started",
        *["pulse_product"] * len(listed),
        "pulse_stopped",
    ]
    assert [record["detail"] for record in records[1:-1]] == listed
    assert [record["record_no"] for record in records] == list(range(1, len(listed) + 3))
    assert {record["streamer_id"] for record in records} == {"listing"}
    assert outcome["products"] == len(listed) > 0


def test_a_failing_exchange_leaves_nothing_in_the_spool(
    exchange: Exchange, config: BackfillConfig, spool: Spool
) -> None:
    """Nothing is written before the list is here, and the error names the address."""
    exchange.inject(status=404, count=1)

    with pytest.raises(RestRefused, match=r"/products: HTTP 404"):
        record_listing(spool, config)

    assert all(not spool.segments(state) for state in State)


def test_a_storm_is_sat_out(exchange: Exchange, config: BackfillConfig, spool: Spool) -> None:
    """A server error and a 429 are repeated."""
    exchange.inject(status=500, count=1)
    exchange.inject(status=429, count=1)

    assert record_listing(spool, config)["products"] > 0


def test_nobody_lists_beside_another(config: BackfillConfig, spool: Spool) -> None:
    """A task that was given up but still runs keeps the next one out."""
    with spool.lock_streamer("listing"), pytest.raises(SpoolLocked):
        record_listing(spool, config)


def test_an_address_that_nobody_serves_is_named(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator reads which address did not answer."""
    monkeypatch.setattr("include.pipeline.backfill.client._ATTEMPTS", 1)

    with pytest.raises(RestUnavailable, match=r"http://127.0.0.1:9/products"):
        record_listing(spool, BackfillConfig(rest_url="http://127.0.0.1:9"))
