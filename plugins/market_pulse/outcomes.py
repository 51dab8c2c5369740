"""What became of each model of a `dbt build`, told as soon as it is known. Free of Airflow."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

Verdict = Literal["success", "failed", "skipped"]

#: XCom under which a build tells what it knows: model → `Outcome`.
OUTCOMES = "outcomes"

_GOOD = frozenset({"success", "pass", "warn"})
_SKIPPED = "skipped"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its own tests. `skipped`: dbt did not build it, because something it needs failed."""

    verdict: Verdict
    message: str


def models_of_tests(manifest: Path, excluded_tag: str) -> dict[str, str]:
    """Test → the model whose file declares it, of the manifest's data tests without the tag.

    Raises OSError, and ValueError when the file is no manifest.
    """
    nodes = json.loads(manifest.read_bytes())["nodes"]
    return {
        test: node["attached_node"]
        for test, node in nodes.items()
        if node["resource_type"] == "test" and node.get("attached_node") and excluded_tag not in node["tags"]
    }


class Outcomes:
    """Turns dbt's results of single nodes into one outcome for each model.

    `tell(model, outcome)` is called once for each model: when it and its tests are over, when it failed or was skipped.
    dbt reports from several threads; `tell` is called by one at a time.
    """

    def __init__(self, tests: Mapping[str, str], tell: Callable[[str, Outcome], None]) -> None:
        self._model_of = dict(tests)
        self._open: dict[str, set[str]] = defaultdict(set)
        for test, model in tests.items():
            self._open[model].add(test)
        self._messages: dict[str, list[str]] = defaultdict(list)
        self._built: dict[str, str] = {}
        self._told: set[str] = set()
        self._tell = tell
        self._lock = threading.Lock()

    def receive(self, event: Any) -> None:
        """A callback of dbt's: takes the results of nodes out of its events."""
        if event.info.name == "NodeFinished":
            node = event.data.node_info
            self.finished(node.unique_id, node.node_status, event.data.run_result.message)

    def finished(self, unique_id: str, status: str, message: str) -> None:
        """A node is over, with dbt's own status."""
        with self._lock:
            model = self._model_of.get(unique_id)
            if model is not None:
                self._test_finished(model, unique_id, status, message)
            elif unique_id.startswith("model."):
                self._model_finished(unique_id, status, message)

    def close(self) -> None:
        """dbt is over: tell what waits for a test that did not run."""
        with self._lock:
            for model in self._built.keys() - self._told:
                self._conclude(model)

    def _model_finished(self, model: str, status: str, message: str) -> None:
        self._built[model] = message
        if status == _SKIPPED:
            self._announce(model, Outcome(verdict="skipped", message=message or "something it needs failed"))
        elif status not in _GOOD:
            self._announce(model, Outcome(verdict="failed", message=message))
        elif not self._open[model]:
            self._conclude(model)

    def _test_finished(self, model: str, test: str, status: str, message: str) -> None:
        self._open[model].discard(test)
        if status not in _GOOD and status != _SKIPPED:
            self._messages[model].append(f"{test}: {message}")
        if model in self._built and not self._open[model]:
            self._conclude(model)

    def _conclude(self, model: str) -> None:
        failures = self._messages[model]
        if failures:
            self._announce(model, Outcome(verdict="failed", message="\n".join(failures)))
        else:
            self._announce(model, Outcome(verdict="success", message=self._built[model]))

    def _announce(self, model: str, outcome: Outcome) -> None:
        if model not in self._told:
            self._told.add(model)
            self._tell(model, outcome)
