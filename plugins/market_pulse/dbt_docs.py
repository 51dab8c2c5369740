"""dbt's documentation site: models, columns, tests, lineage.

The page is dbt's own; what it shows is the manifest from which Airflow's graph is rendered, so the two never differ.
Sizes and row counts come from the catalog, which market_pulse_maintenance writes; without it they are not
shown.
Airflow does not protect what a plugin serves: every request here asks for Airflow's login by itself.
"""

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, JSONResponse, Response

from include.config import PipelineConfig, load
from market_pulse.maintenance import catalog_path

URL_PREFIX = "/dbt-docs"

_NO_CATALOG: dict[str, object] = {"metadata": {}, "nodes": {}, "sources": {}, "errors": None}
#: Nothing in between keeps what only some may read, and the page shows the manifest of now.
_UNCACHED = {"Cache-Control": "private, no-store"}


def documentation() -> FastAPI:
    """The site, read-only: a page and the two files it reads. 401 without a login of Airflow's."""
    app = FastAPI(title="dbt docs", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/", _page, methods=["GET"])
    app.add_api_route("/manifest.json", _manifest, methods=["GET"])
    app.add_api_route("/catalog.json", _catalog, methods=["GET"])
    return app


def _page() -> Response:
    from dbt.task.docs import DOCS_INDEX_FILE_PATH

    return FileResponse(DOCS_INDEX_FILE_PATH, media_type="text/html", headers=_UNCACHED)


def _manifest() -> Response:
    path = load(PipelineConfig).resolved_dbt_manifest()
    if not path.is_file():
        raise HTTPException(404, f"{path}: no dbt manifest. `make up` writes it; by hand: dbt parse")
    return FileResponse(path, media_type="application/json", headers=_UNCACHED)


def _catalog() -> Response:
    path = catalog_path()
    if not path.is_file():
        return JSONResponse(_NO_CATALOG)
    return FileResponse(path, media_type="application/json", headers=_UNCACHED)
