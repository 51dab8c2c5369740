"""`python -m include.alerting` sends a test to every channel, as the streamer would. `make page-test` runs it."""

import asyncio
import sys

from include.alerting.page_test import page_test
from include.alerting.senders import send
from include.config import AlertConfig, ConfigError, load

if __name__ == "__main__":
    try:
        config = load(AlertConfig)
    except ConfigError as error:
        sys.exit(f"streamer  {error}")
    sys.exit(page_test("streamer", config, lambda *sent: asyncio.run(send(*sent)), with_connections=False))
