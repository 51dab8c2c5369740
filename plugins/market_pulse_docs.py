"""Airflow's plugin loader reads this file: the dbt documentation beside the DAGs, in Airflow's own address and menu."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.configuration import conf

from market_pulse.dbt_docs import URL_PREFIX, documentation


class DbtDocsPlugin(AirflowPlugin):  # type: ignore[misc] # Airflow is not in the environment of the type check
    """Serves the documentation and links it in the menu (Browse)."""

    name = "market_pulse_docs"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"name": "dbt docs", "url_prefix": URL_PREFIX, "app": documentation()}
    ]
    external_views: ClassVar[list[dict[str, str]]] = [
        {
            "name": "dbt docs",
            # Behind a proxy Airflow may live below a path.
            "href": f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}{URL_PREFIX}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "dbt-docs",
        }
    ]
