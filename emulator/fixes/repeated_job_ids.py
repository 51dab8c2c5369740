"""A job id is taken by one submission, also when several arrive at once.

Fault: the id is looked up and taken in two steps, so of two simultaneous submissions both may run: rows loaded twice.
BigQuery: one of them runs, the others are answered 409 Already Exists.
Test: tests/emulator/test_job_ids.py. Remove when `runner.submit` of local-bigquery takes the id in one step.
"""

import threading
from collections.abc import Callable
from typing import Any

from local_bigquery.jobs import runner

from emulator.fixes.upstream import wrap

_submitting = threading.Lock()


def apply() -> None:
    """Put the fix in place."""
    wrap(runner, "submit", ("project_id", "job_id", "configuration", "upload"), _submit)


def _submit(
    inner: Callable[..., Any], project_id: str, job_id: str, configuration: Any, upload: str | None = None
) -> Any:
    """A dry run takes no id, and takes as long as its query's analysis."""
    if configuration.dryRun:
        return inner(project_id, job_id, configuration, upload)
    with _submitting:
        return inner(project_id, job_id, configuration, upload)
