"""fsck, retain and replay from the command line: exit status and output."""

from pathlib import Path

import msgspec
import pytest

from include.pipeline.__main__ import main
from include.spool import State
from tests.pipeline.conftest import Run
from tests.warehouse.spools import matches, sealed_segment


@pytest.fixture(autouse=True)
def settings(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment that names the test's spool and warehouse."""
    config = run.warehouse.config
    monkeypatch.setenv("PULSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULSE_SOURCE", "simulated")
    monkeypatch.setenv("PULSE_SPOOL_DIR", str(run.spool.root))
    monkeypatch.setenv("PULSE_WAREHOUSE_URL", config.warehouse_url)
    monkeypatch.setenv("PULSE_DATASET_PREFIX", config.dataset_prefix)
    monkeypatch.setattr("include.pipeline.fsck.time.sleep", lambda _: None)


def test_fsck_tells_clean_from_findings_and_repairs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """0, then 1 with the finding and its remedy, then 0 after the repair."""
    name = sealed_segment(run.spool, matches(2))
    run.load()
    assert main(["fsck"]) == 0
    for path in (run.spool.manifest_path(name, State.LOADED), run.spool.path(name, State.LOADED)):
        path.rename(run.spool.folder(State.SEALED) / path.name)
    capsys.readouterr()

    assert main(["fsck", "--json"]) == 1

    (finding,) = msgspec.json.decode(capsys.readouterr().out)["findings"]
    assert (finding["kind"], finding["subject"], finding["is_safe"]) == (
        "sealed_but_loaded",
        f"sealed/{name.file_name}",
        True,
    )
    assert main(["fsck", "--repair"]) == 0
    assert run.spool.segments(State.LOADED) == [name]


def test_retain_and_replay_print_their_outcome(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object each."""
    sealed_segment(run.spool, matches(2))
    run.load()
    capsys.readouterr()

    assert main(["retain"]) == 0
    assert main(["replay", "--from", "2026-01-01T00", "--to", "2030-01-01", "--dataset-prefix", "x", "--dry-run"]) == 0

    retained, replayed = map(msgspec.json.decode, capsys.readouterr().out.splitlines())
    assert (retained["deleted"], replayed["records"]) == (0, 2)
    assert main(["replay", "--from", "2020-01-01", "--to", "2020-01-02", "--dataset-prefix", "x"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["fsck", "--days", "-1"],
        ["replay", "--from", "then", "--to", "2026-01-01", "--dataset-prefix", "x"],
        ["replay", "--from", "2026-01-01", "--to", "2026-01-02"],
        ["replay", "--from", "2026-01-01", "--to", "2026-01-02", "--dataset-prefix", "A-b"],
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(arguments: list[str]) -> None:
    """Exit status 2, before anything is touched."""
    try:
        status: object = main(arguments)
    except SystemExit as error:
        status = error.code

    assert status == 2
