"""The supply chain gate can fail, and does not call clean what it could not look at."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]


def audit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPO / "scripts" / "audit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def report(path: Path, **package: Any) -> Path:
    path.write_text(json.dumps({"dependencies": [{"name": "left-pad", "version": "1.0", "vulns": []}, package]}))
    return path


def test_a_planted_key_is_found_with_its_line(tmp_path: Path) -> None:
    """The file and line are named; without the key the same file passes."""
    planted = tmp_path / "settings.py"
    planted.write_text("# nothing\nkey = 'AKIA" + "QWERTYUIOPASDFGH'\n")
    found = audit("secrets", planted)
    assert found.returncode == 1
    assert f"{planted}:2" in found.stdout

    planted.write_text("# nothing\n")
    assert audit("secrets", planted).returncode == 0


def test_a_known_vulnerability_fails_with_the_release_that_mends_it(tmp_path: Path) -> None:
    """What to upgrade to is in the message."""
    vulnerability = {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}
    found = audit("packages", "--report", report(tmp_path / "r", name="bad", version="2.0", vulns=[vulnerability]))
    assert found.returncode == 1
    assert "bad 2.0: PYSEC-2026-1, mended in 2.1" in found.stdout


def test_what_could_not_be_audited_is_said(tmp_path: Path) -> None:
    """An index without vulnerability data does not fail the build, and does not look like a clean audit."""
    skipped = audit("packages", "--report", report(tmp_path / "r", name="odd", skip_reason="not found on PyPI"))
    assert skipped.returncode == 0
    assert "1 of 2 packages audited" in skipped.stdout
    assert "NOT AUDITED: 1 packages" in skipped.stdout
