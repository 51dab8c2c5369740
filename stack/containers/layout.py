"""Where things are inside a container. docker-compose.yaml and the Dockerfiles name the same paths; a test compares."""

from pathlib import Path

#: AIRFLOW_HOME of the image: dags, plugins, include, airflow.cfg. Read-only but for the logs.
AIRFLOW_HOME = Path("/opt/airflow")
LOGS = AIRFLOW_HOME / "logs"

#: PULSE_HOME of every container.
HOME = Path("/var/lib/pulse")
COSMOS_CACHE = HOME / "dbt" / "cosmos"

#: Volume of what Airflow's containers share: keys, login, address of the database with its password.
SECRETS = Path("/var/lib/pulse-secrets")
#: Volume of the one secret that the database knows, too.
POSTGRES_SECRETS = Path("/var/lib/pulse-postgres")

FERNET_KEY = SECRETS / "fernet-key"
JWT_SECRET = SECRETS / "jwt-secret"
API_SECRET = SECRETS / "api-secret"
DATABASE_URL = SECRETS / "database-url"
POSTGRES_PASSWORD = POSTGRES_SECRETS / "password"

#: Group of the database's image, which reads its password.
POSTGRES_GROUP = 999

#: Where Compose mounts the file that GOOGLE_APPLICATION_CREDENTIALS names on the host; empty when it names none.
GOOGLE_KEY = Path("/run/secrets/google-key")

DATABASE_HOST = "postgres"
DATABASE_NAME = "airflow"
DATABASE_USER = "airflow"
API_URL = "http://api-server:8080"
