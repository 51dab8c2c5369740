"""A stack of its own, and a browser in which the admin is logged in."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Page, sync_playwright

from tests.e2e.harness import REPO, RunningStack, running

#: Chromium's own services ask the internet, which pages here never need.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


#: Of the window.
WIDTH, HEIGHT = 1440, 900


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A simulated market with an hour of past, and runs only when somebody triggers them."""
    yield from running(
        tmp_path_factory.mktemp("stack"),
        "SOURCE=simulated",
        PULSE_SCHEDULE_SECONDS="3600",
        PULSE_SIMULATOR_RATE="6",
        PULSE_SIMULATOR_HISTORY_HOURS="1",
    )


@pytest.fixture(scope="session")
def problems() -> list[str]:
    """What the browser could not do: answers of 500 and more, and errors of scripts."""
    return []


@pytest.fixture(scope="session")
def page(stack: RunningStack, problems: list[str]) -> Iterator[Page]:
    """Logged in as `make status` says."""
    chromium = subprocess.run(
        [str(REPO / "scripts" / "chromium")], capture_output=True, text=True, check=True
    ).stdout.strip()
    known = stack.known
    user = known["airflow_user"]
    password = json.loads(Path(known["airflow_password_file"]).read_text())[user]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, base_url=known["airflow_url"], timezone_id="America/New_York"
        )
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "response", lambda reply: problems.append(f"{reply.status} {reply.url}") if reply.status >= 500 else None
        )
        page.goto("/")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", password)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Dags", exact=True).first.wait_for()
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def _nothing_fails_behind_the_page(problems: list[str]) -> Iterator[None]:
    problems.clear()
    yield
    assert problems == []


def keep_picture(page: Page, name: str, *, height: int = HEIGHT) -> None:
    """Keep a screenshot of the upper part as `<name>.png` where PULSE_PICTURES says; without it, none."""
    if folder := os.environ.get("PULSE_PICTURES"):
        clip: FloatRect = {"x": 0, "y": 0, "width": WIDTH, "height": height}
        page.screenshot(path=Path(folder) / f"{name}.png", clip=clip)
