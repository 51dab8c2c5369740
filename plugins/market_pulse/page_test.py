"""`python -m market_pulse.page_test` sends a test to every channel, as Airflow would. `make page-test` runs it."""

import logging
import sys

from include.alerting.page_test import page_test
from include.config import AlertConfig, ConfigError, load
from market_pulse.channels import send

if __name__ == "__main__":
    logging.disable()  # what a channel answered is in the line about it
    try:
        config = load(AlertConfig)
    except ConfigError as error:
        sys.exit(f"airflow   {error}")
    sys.exit(page_test("airflow", config, send, with_connections=True))
