"""One project for all tests of this folder: from nothing at the first test, everything gone after the last."""

from collections.abc import Iterator

import pytest

from tests.compose.harness import ComposeProject, documented


@pytest.fixture(scope="session")
def project() -> Iterator[ComposeProject]:
    """The simulated installation, started by the documented commands. Runs are started by the tests."""
    project = ComposeProject(COMPOSE_PROFILES="simulated", PULSE_SIMULATOR_RATE="20", PULSE_SCHEDULE_SECONDS="86400")
    try:
        project.remove_all()
        project.shell(documented("first start"), timeout=900)
        yield project
    finally:
        project.remove_all()
