"""dbt's documentation beside the DAGs, behind Airflow's own login."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

FILES = ("/", "/manifest.json", "/catalog.json")


@pytest.fixture(scope="module")
def token() -> Iterator[str]:
    """What Airflow gives somebody who may only look."""
    from airflow import settings
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.revoked_token import RevokedToken

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_urlsafe(64))
        settings.configure_orm()
        RevokedToken.metadata.tables[RevokedToken.__tablename__].create(settings.engine, checkfirst=True)
        yield create_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role="viewer"))
        settings.dispose_orm()


@pytest.fixture
def site(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The site of an installation that has parsed its project; whoever asks is not logged in."""
    from market_pulse.dbt_docs import documentation

    assert token
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"nodes": {"model.p.fct_trades": {}}}))
    monkeypatch.setenv("PULSE_DBT_MANIFEST", str(manifest))
    return TestClient(documentation())


@pytest.fixture
def visitor(site: TestClient, token: str) -> TestClient:
    """The same with the cookie of the UI's login."""
    site.cookies.set("_token", token)
    return site


@pytest.mark.parametrize("path", FILES)
def test_nobody_reads_it_without_a_login(site: TestClient, path: str) -> None:
    """Airflow does not guard what plugins serve; this one guards itself, file by file."""
    assert site.get(path).status_code == 401
    assert site.get(path, headers={"Authorization": "Bearer made.up.token"}).status_code == 403


@pytest.mark.parametrize("path", FILES)
def test_the_login_of_the_ui_and_of_the_api_are_good_for_it(site: TestClient, token: str, path: str) -> None:
    """A program sends its token, a browser the UI's cookie."""
    assert site.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    site.cookies.set("_token", token)
    assert site.get(path).status_code == 200


def test_it_shows_the_manifest_from_which_the_dag_is_rendered(visitor: TestClient) -> None:
    """dbt's own page asks for two files beside it; without a catalog it gets an empty one."""
    page = visitor.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "manifest.json" in page.text
    assert visitor.get("/manifest.json").json() == {"nodes": {"model.p.fct_trades": {}}}
    assert visitor.get("/catalog.json").json()["nodes"] == {}


def test_the_catalog_is_shown_when_there_is_one(visitor: TestClient, tmp_path: Path) -> None:
    """Maintenance takes it from the temporary project in which dbt wrote it."""
    from market_pulse.maintenance import keep_catalog

    written = tmp_path / "project" / "target" / "catalog.json"
    written.parent.mkdir(parents=True)
    written.write_text('{"nodes": {"model.p.fct_trades": {"stats": {}}}}')
    keep_catalog(str(tmp_path / "project"), context={})

    assert "model.p.fct_trades" in visitor.get("/catalog.json").json()["nodes"]


def test_a_missing_manifest_is_explained(visitor: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """404 with the remedy, not an error page."""
    monkeypatch.setenv("PULSE_DBT_MANIFEST", "/nowhere/manifest.json")

    answer = visitor.get("/manifest.json")
    assert answer.status_code == 404
    assert "make up" in answer.json()["detail"]


def test_nothing_else_can_be_read_or_written(visitor: TestClient) -> None:
    """Three files, and only GET."""
    for path in ("/manifest.inputs", "/../airflow.db", "/docs", "/openapi.json"):
        assert visitor.get(path).status_code == 404
    assert visitor.post("/manifest.json", json={}).status_code == 405


def test_the_menu_links_to_it() -> None:
    """The plugin's menu entry leads to where its site is mounted."""
    from market_pulse_docs import DbtDocsPlugin

    (view,), (app,) = DbtDocsPlugin.external_views, DbtDocsPlugin.fastapi_apps
    assert view["href"] == f"{app['url_prefix']}/"
    assert view["destination"] == "nav"
