"""`make page-test`: both who page, Airflow and the streamer, each with its own environment and libraries."""

import os
import subprocess
import sys
from collections.abc import Mapping

from include.config import Source
from stack.environment import parts_environment
from stack.installation import Installation
from stack.plan import given_settings, make_plan
from stack.state import read_state


def page_test(installation: Installation, environ: Mapping[str, str]) -> int:
    """Test the channels of the last start's settings, and of those set now; 0 when all took the message.

    Raises ConfigError.
    """
    installation.create_folders()
    state = read_state(installation.run_dir)
    plan = state.plan if state else make_plan(Source.LIVE, environ, installation.repository)
    plan = plan.with_settings(given_settings(environ, installation.repository))
    environment = parts_environment(installation, plan, environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(installation.repository), str(installation.repository / "plugins")]
    )
    failed = 0
    for environment_name, module in (("airflow", "market_pulse.page_test"), ("core", "include.alerting")):
        done = subprocess.run(
            [installation.executable(environment_name, "python"), "-m", module],
            cwd=installation.repository,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        sys.stdout.write(done.stdout)
        if done.returncode and not done.stdout:
            sys.stdout.write(done.stderr)
        failed |= done.returncode != 0
    return int(failed)
