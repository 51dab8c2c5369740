"""The project itself: what is declared, and how a window gets into a statement."""

import json
from typing import Any

import pytest

from include.warehouse.window import WINDOW_VARIABLES
from tests.dbt.conftest import Dbt

BOUNDS = ("2001-02-03T04:05:06.000007Z", "2001-02-03T04:05:07.000000Z")
A_WINDOW = dict(zip(WINDOW_VARIABLES, (*BOUNDS, *BOUNDS, ""), strict=True))
TAGS = {"every_run", "maintenance"}
pytestmark = pytest.mark.timeout(900)

COMPILE = ("compile", "--no-introspect", "--no-populate-cache", "--inline")


def _manifest(dbt: Dbt) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((dbt.target / "manifest.json").read_text("utf-8"))
    return manifest


def _own(manifest: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == kind]


def test_a_window_does_not_touch_the_manifest(dbt: Dbt) -> None:
    """The window is read when a statement is put together: its change re-parses nothing and leaves no trace."""
    parse = dbt.run_anew("parse", window=A_WINDOW)
    assert "PartialParsingSkipParsing" in parse.events
    assert not parse.events & {"UnableToPartialParse", "PartialParsingFile"}
    manifest = (dbt.target / "manifest.json").read_text("utf-8")
    assert not [bound for bound in BOUNDS if bound in manifest]


def test_every_test_runs_at_one_time(dbt: Dbt) -> None:
    """Each data test has exactly one of the two tags; unit tests are maintenance, so a run excludes one tag only."""
    manifest = _manifest(dbt)
    tests = _own(manifest, "test")
    assert tests
    assert not [test["name"] for test in tests if len(TAGS & set(test["tags"])) != 1]
    units = manifest["unit_tests"].values()
    assert units
    assert not [unit["name"] for unit in units if unit["config"]["tags"] != ["maintenance"]]


def test_tests_of_every_run_look_at_the_window_only(dbt: Dbt) -> None:
    """What runs every two minutes does not scan whole tables."""
    every_run = [test for test in _own(_manifest(dbt), "test") if "every_run" in test["tags"]]
    assert every_run
    assert not [test["name"] for test in every_run if "_from_" not in (test["config"]["where"] or "")]


def test_models_and_columns_are_described(dbt: Dbt) -> None:
    """Every model states its grain, every column what it is; marts have enforced contracts."""
    models = _own(_manifest(dbt), "model")
    assert models
    assert not [model["name"] for model in models if not model["description"].startswith("Grain, one row per ")]
    assert not [
        f"{model['name']}.{column['name']}"
        for model in models
        for column in model["columns"].values()
        if not column["description"]
    ]
    marts = [model for model in models if model["fqn"][1] == "marts" and model["fqn"][2] != "intermediate"]
    assert marts
    assert not [model["name"] for model in marts if not model["config"]["contract"]["enforced"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"DBT_WINDOW_RECEIVED_TO": ""},
        {"DBT_WINDOW_TRADED_FROM": ""},
        {"DBT_WINDOW_RECEIVED_FROM": "", "DBT_WINDOW_RECEIVED_TO": ""},
        {"DBT_WINDOW_RECEIVED_FROM": "2001-02-03T04:05:06Z"},
        {"DBT_WINDOW_TRADED_TO": "' or true --"},
    ],
)
def test_half_a_window_is_refused(dbt: Dbt, wrong: dict[str, str]) -> None:
    """A window that lacks a bound or has one that is no instant fails before any statement."""
    inline = "select {{ window_timestamp('received', 'from') }}"
    compiled = dbt.run(*COMPILE, inline, window=A_WINDOW | wrong)
    assert not compiled.succeeded
    assert "DBT_WINDOW_" in compiled.error


def test_a_window_becomes_literals(dbt: Dbt) -> None:
    """BigQuery prunes partitions on constants only."""
    inline = "select {{ window_timestamp('received', 'from') }}, {{ window_date('traded', 'to') }}"
    compiled = dbt.run(*COMPILE, inline, window=A_WINDOW)
    assert compiled.succeeded, compiled.error
    assert compiled.compiled == ["select timestamp '2001-02-03T04:05:06.000007Z', date '2001-02-03'"]
