"""The connection to BigQuery, or to the local warehouse that speaks its REST API."""

from google.api_core import retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from include.config import WarehouseConfig

#: For displays, which must not hang: the first failure passes through as it is, an OSError where nobody answers.
#: By default the client library repeats a request for ten minutes.
ONCE = retry.Retry(predicate=retry.if_exception_type())


def connect(config: WarehouseConfig) -> bigquery.Client:
    """A client for the configured warehouse. Opens no connection yet.

    With PULSE_WAREHOUSE_URL set it talks to that endpoint without credentials; otherwise to Google's BigQuery with
    application default credentials (raises google.auth.exceptions.DefaultCredentialsError where there are none).
    """
    if config.warehouse_url:
        return bigquery.Client(
            project=config.project,
            location=config.location,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": config.warehouse_url},
        )
    return bigquery.Client(project=config.project, location=config.location)
