"""What a person sees in Airflow's web UI, in a real browser: the list, the graph, the form, a refusal, a report."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.backfilling import DAG as BACKFILL
from tests.e2e.harness import RunningStack, eventually
from tests.pages.conftest import keep_picture

pytestmark = pytest.mark.timeout(600)
expect.set_options(timeout=30_000)

#: The fields for an instant, as they follow one another in the form.
FIELDS = ("Logical Date", "Window start", "Window end")
MODELS = (
    "stg_coinbase__matches",
    "int_product_minutes",
    "fct_trades",
    "fct_candles_1m",
    "fct_trades_daily",
    "dim_products",
)


def runs_of(stack: RunningStack) -> list[dict[str, Any]]:
    """Runs of the backfill, newest first."""
    runs: list[dict[str, Any]] = stack.airflow(f"dags/{BACKFILL}/dagRuns?order_by=-run_after&limit=50")["dag_runs"]
    return runs


def over(stack: RunningStack, known: set[str]) -> dict[str, Any]:
    """The run that was triggered since, when it is over."""

    def ended() -> dict[str, Any] | None:
        new = [run for run in runs_of(stack) if run["dag_run_id"] not in known]
        return new[0] if new and new[0]["state"] in {"success", "failed"} else None

    return eventually(ended, within=300, what="the run that the form triggered is over")


def open_form(page: Page) -> Locator:
    """The form of "Trigger"."""
    page.goto(f"/dags/{BACKFILL}")
    page.get_by_test_id("trigger-dag-button").click()
    form = page.locator("[role=dialog][aria-modal=true]")
    form.locator("#element_products").wait_for()
    return form


def enter_instant(page: Page, form: Locator, label: str, instant: datetime) -> None:
    """Fill in the field with this label, as a person does it."""
    form.get_by_test_id("datetime-input").nth(FIELDS.index(label)).click()
    picker = page.locator("[data-scope=popover][data-part=content][data-state=open]")
    zone = ZoneInfo(picker.locator("p").first.inner_text())
    for place, written in (("YYYY/MM/DD", "%Y/%m/%d"), ("HH:mm", "%H:%M")):
        picker.get_by_placeholder(place).fill(instant.astimezone(zone).strftime(written))
        picker.get_by_placeholder(place).press("Tab")
    page.keyboard.press("Escape")
    picker.wait_for(state="hidden")


def trigger(page: Page, form: Locator) -> None:
    """Send the form."""
    form.get_by_test_id("trigger-dag-submit").click()
    form.wait_for(state="hidden")


def test_the_list_shows_every_dag(stack: RunningStack, page: Page) -> None:
    """Four DAGs, none of them broken."""
    stack.run_to_success()
    page.goto("/dags")
    for name in ("market_pulse", "market_pulse_backfill", "market_pulse_maintenance", "market_pulse_products"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    expect(page.get_by_text("4 Dags")).to_be_visible()
    expect(page.get_by_text(re.compile("import error", re.IGNORECASE))).to_have_count(0)
    keep_picture(page, "dags")


def test_the_graph_of_the_main_dag_opens_down_to_the_models(stack: RunningStack, page: Page) -> None:
    """All groups open at a click, each model is a task, and those of the last run are green."""
    page.goto(f"/dags/market_pulse/runs/{stack.runs()[0]['dag_run_id']}")
    page.get_by_label("Show Graph (Press g)").click()
    page.get_by_test_id("expand-all-button").click()
    page.get_by_label("Collapse Details Panel").click()
    page.get_by_label("Fit View").click()
    nodes = page.locator(".react-flow__node")
    for model in MODELS:
        expect(nodes.filter(has_text=re.compile(rf"{model}.*success", re.DOTALL)).last).to_be_visible()
    keep_picture(page, "dag")


def test_the_form_says_what_each_field_is_for(page: Page) -> None:
    """Titles, descriptions and defaults; Markdown is shown as it is meant."""
    form = open_form(page)
    for title in ("Mode", "Window start", "Window end (exclusive)", "Products", "Dry run", "Concurrency"):
        expect(form.get_by_text(title, exact=False).first).to_be_visible()
    expect(form.get_by_text("Only say what it would do")).to_be_visible()
    expect(form.get_by_text("**")).to_have_count(0)
    expect(form.locator("#element_products")).to_have_value("BTC-USD\nETH-USD\nXRP-USD")
    keep_picture(page, "backfill-form")
    page.keyboard.press("Escape")


def test_a_window_that_ends_before_it_starts_is_refused_with_what_to_change(stack: RunningStack, page: Page) -> None:
    """The run fails in its first task, whose log ends with the reason."""
    known = {run["dag_run_id"] for run in runs_of(stack)}
    now = datetime.now(UTC)
    form = open_form(page)
    enter_instant(page, form, "Window start", now)
    enter_instant(page, form, "Window end", now - timedelta(hours=1))
    trigger(page, form)

    run = over(stack, known)

    assert run["state"] == "failed"
    page.goto(f"/dags/{BACKFILL}/runs/{run['dag_run_id']}/tasks/check_request")
    page.get_by_label("Show Grid (Press g)").click()
    expect(page.get_by_text("Exchange the two").first).to_be_visible()
    keep_picture(page, "backfill-refused", height=412)  # down to the traceback, which names this machine's folders


def test_a_finished_backfill_shows_its_report(stack: RunningStack, page: Page) -> None:
    """Entered by hand, in the time zone that the form names; found again under the task's XCom."""
    known = {run["dag_run_id"] for run in runs_of(stack)}
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=20)
    form = open_form(page)
    enter_instant(page, form, "Window start", end - timedelta(minutes=20))
    enter_instant(page, form, "Window end", end)
    trigger(page, form)

    run = over(stack, known)

    assert run["state"] == "success"
    assert datetime.fromisoformat(run["conf"]["window_end"]) == end
    page.goto(f"/dags/{BACKFILL}/runs/{run['dag_run_id']}/tasks/report_backfill/xcom")
    page.get_by_label("Show Grid (Press g)").click()
    for word in ("inserted", "already_there", "still_missing"):
        expect(page.get_by_text(word).first).to_be_visible()
    keep_picture(page, "backfill-report")


def test_dbts_documentation_is_in_the_menu(page: Page) -> None:
    """Every table and column is one click away."""
    page.goto("/dags")
    page.get_by_role("button", name="Browse").click()
    page.get_by_text("dbt docs").click()
    overview = page.frame_locator("iframe").locator("text=Overview >> visible=true")
    expect(overview.first).to_be_visible()
