"""Fixtures of the end-to-end tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for one module's stack."""
    return tmp_path_factory.mktemp("stack")
