"""`docker compose exec api-server python -m stack.containers.login` shows where Airflow's UI is and how to log in."""

import os
import sys

from stack import credentials
from stack.containers import layout

if __name__ == "__main__":
    address = os.environ.get("AIRFLOW__API__BASE_URL", "")
    password = credentials.password(layout.SECRETS)
    sys.stdout.write(f"{address}   user {credentials.ADMIN_USER}   password {password}\n")
