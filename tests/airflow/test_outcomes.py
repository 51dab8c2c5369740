"""What a build's single results say about each model."""

import json
from pathlib import Path

import pytest

from market_pulse.outcomes import Outcome, Outcomes, models_of_tests

TRADES, CANDLES = "model.p.fct_trades", "model.p.fct_candles"
UNIQUE, SANE, ADDS_UP = "test.p.unique", "test.p.sane", "test.p.adds_up"


class Told(dict[str, Outcome]):
    """Remembers what was told; telling twice is an error."""

    def __call__(self, model: str, outcome: Outcome) -> None:
        assert model not in self, f"{model} was told before"
        self[model] = outcome


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def outcomes(told: Told) -> Outcomes:
    """fct_trades with one test, fct_candles with two."""
    return Outcomes({UNIQUE: TRADES, SANE: CANDLES, ADDS_UP: CANDLES}, told)


def test_a_model_is_done_when_its_last_test_is(outcomes: Outcomes, told: Told) -> None:
    """Built is not enough: what depends on it waits for its tests, in dbt as well."""
    outcomes.finished(CANDLES, "success", "MERGE (12 rows)")
    outcomes.finished(SANE, "pass", "")
    assert not told
    outcomes.finished(ADDS_UP, "warn", "2 rows")

    assert told == {CANDLES: Outcome(verdict="success", message="MERGE (12 rows)")}


def test_a_model_without_tests_is_done_when_it_is_built(outcomes: Outcomes, told: Told) -> None:
    """Nothing else is waited for."""
    outcomes.finished("model.p.stg_matches", "success", "CREATE VIEW")

    assert told["model.p.stg_matches"].verdict == "success"


@pytest.mark.parametrize("status", ["fail", "error", "runtime error"])
def test_a_failed_test_fails_its_model_and_says_so(outcomes: Outcomes, told: Told, status: str) -> None:
    """The outcome names the test and has dbt's message."""
    outcomes.finished(TRADES, "success", "MERGE")
    outcomes.finished(UNIQUE, status, "Got 3 results, configured to fail if != 0")

    assert told[TRADES].verdict == "failed"
    assert "test.p.unique: Got 3 results" in told[TRADES].message


def test_a_failed_model_is_told_at_once_and_stays_failed(outcomes: Outcomes, told: Told) -> None:
    """dbt skips its tests: their end says nothing new."""
    outcomes.finished(TRADES, "error", "Division by zero")
    assert told == {TRADES: Outcome(verdict="failed", message="Division by zero")}

    outcomes.finished(UNIQUE, "skipped", "")
    outcomes.close()
    assert told[TRADES].verdict == "failed"


def test_a_model_that_dbt_skipped_is_neither_good_nor_to_blame(outcomes: Outcomes, told: Told) -> None:
    """Something it needs failed."""
    outcomes.finished(CANDLES, "skipped", "")
    outcomes.finished(SANE, "skipped", "")

    assert told[CANDLES].verdict == "skipped"


def test_a_test_that_never_ran_is_not_waited_for_after_the_build(outcomes: Outcomes, told: Told) -> None:
    """When dbt is over, a built model is told with what is known."""
    outcomes.finished(CANDLES, "success", "MERGE")
    outcomes.finished(SANE, "fail", "Got 1 result")
    outcomes.close()
    outcomes.close()

    assert told[CANDLES].verdict == "failed"
    assert TRADES not in told, "nothing is known about it"


def test_the_manifest_says_whose_test_it_is(tmp_path: Path) -> None:
    """A test that names two models belongs to the one whose file declares it; tests of the tag do not run."""
    test = {"resource_type": "test", "attached_node": TRADES, "tags": ["every_run"]}
    nodes = {
        UNIQUE: test,
        SANE: test | {"tags": ["maintenance"]},
        ADDS_UP: test | {"attached_node": None},
        TRADES: {"resource_type": "model", "tags": []},
    }
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"nodes": nodes}))

    assert models_of_tests(manifest, "maintenance") == {UNIQUE: TRADES}
