"""Every alert has its page, every page its alert, and people find them."""

import re
from pathlib import Path

import pytest

from include.alerting import ALERTS, Alert, Origin

REPO = Path(__file__).resolve().parents[2]
RUNBOOKS = REPO / "docs" / "runbooks"
SECTIONS = ["## What you see", "## Impact", "## Check", "## Fix"]
PAGES = sorted(path.name for path in RUNBOOKS.glob("*.md") if path.name != "README.md")


def test_alerts_and_pages_are_the_same() -> None:
    """No alert links to a page that is not there, and no page is left of an alert that is gone."""
    assert sorted(alert.runbook for alert in ALERTS.values()) == PAGES


@pytest.mark.parametrize("alert", ALERTS.values(), ids=lambda alert: alert.alert_id)
def test_a_page_says_what_is_seen_what_it_means_and_what_to_do(alert: Alert) -> None:
    """In the order in which somebody at night needs it, under the alert's own title and with its first command."""
    page = (RUNBOOKS / alert.runbook).read_text("utf-8")

    assert page.splitlines()[0] == f"# {alert.title} (`{alert.alert_id}`)"
    positions = [page.find(section) for section in SECTIONS]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert alert.first_command in page
    assert f"Severity: {alert.severity.value}" in page


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_refers_to_exists(page: str) -> None:
    """Its links lead to files, and its make targets are in the Makefile."""
    text = (RUNBOOKS / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert "://" in target or (RUNBOOKS / target).exists(), f"{page} links to {target}"
    makefile = (REPO / "Makefile").read_text("utf-8")
    for target in re.findall(r"\bmake ([a-z][a-z-]+)", text):
        assert re.search(rf"^[a-z \-]*\b{target}\b[a-z \-]*:", makefile, re.MULTILINE), f"{page}: make {target}"


def test_the_index_lists_every_alert_with_its_severity() -> None:
    """docs/runbooks/README.md, the page that on-call has open."""
    rows = re.findall(r"^\| \[`([a-z_]+)`\]\(([a-z_]+\.md)\) \| (\w+) \|", (RUNBOOKS / "README.md").read_text(), re.M)

    assert {(alert.alert_id, alert.runbook, alert.severity.value) for alert in ALERTS.values()} == set(rows)


def test_the_dags_send_people_to_the_runbooks() -> None:
    """In the documentation that Airflow shows beside a red run."""
    for path in (REPO / "dags").glob("*.py"):
        assert "docs/runbooks" in path.read_text(), path.name


def test_an_alert_of_the_dead_mans_service_is_never_sent_by_us() -> None:
    """It is in the catalogue because on-call gets it; nothing in the code raises it."""
    outside = [alert.alert_id for alert in ALERTS.values() if alert.origin is Origin.OUTSIDE]
    sources = [path for folder in ("include", "plugins", "streamer") for path in (REPO / folder).rglob("*.py")]

    assert outside == ["no_verified_run"]
    assert [path.name for path in sources if '"no_verified_run"' in path.read_text()] == ["catalogue.py"]
