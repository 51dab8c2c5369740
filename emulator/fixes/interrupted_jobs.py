"""A job cut off by the end of the process is resolved at the next start.

Fault: it stays RUNNING for ever, and its id answers 409: who waits for it waits for ever, who repeats it cannot.
BigQuery: every job ends DONE, without an error exactly if its effect is there.
Here: a job whose commit is found (see `commit_tags`) is DONE; any other is DONE with the error `stopped`, and has
written nothing. A script or a session's statement is always `stopped`: what its finished statements did stays done.
Test: tests/emulator/test_interrupted_jobs.py. Remove when local-bigquery resolves such jobs itself.
"""

import shutil
from typing import Any

from local_bigquery.catalog import ddl, names
from local_bigquery.engine import database
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import query, runner, store
from local_bigquery.models import Job, JobStatistics
from local_bigquery.settings import settings
from local_bigquery.sql.rules.ddl import normalise
from local_bigquery.sql.translate import parse
from sqlglot import exp

from emulator.fixes import commit_tags, create_table_as

STOPPED = "The warehouse stopped while the job was running. Nothing was written: submit it again under another job id."


def apply() -> None:
    """Put the fix in place: resolve what the last process left, before anything is served."""
    unfinished = database.fetch("SELECT resource FROM emulator.jobs WHERE state <> 'DONE'")
    for (resource,) in unfinished:
        store.save(_resolved(Job.model_validate_json(resource)))
    # Uploads that no job took over, or whose job is resolved now.
    shutil.rmtree(settings.data_dir / "uploads", ignore_errors=True)


def _resolved(job: Any) -> Any:
    kind = job.configuration.jobType.lower()
    commit = commit_tags.find(job)
    if commit is None:
        return runner._done(job, _statistics(kind, {}), BigQueryError("stopped", STOPPED))
    match kind:
        case "load":
            found = {"outputRows": str(commit.rows), "badRecords": "0"}
        case "copy":
            found = {"copiedRows": str(commit.rows)}
        case _:
            found = _finished_statement(job, commit)
    return runner._done(job, _statistics(kind, found))


def _statistics(kind: str, found: dict[str, Any]) -> Any:
    return JobStatistics.model_validate({kind: found})


def _finished_statement(job: Any, commit: commit_tags.Commit) -> dict[str, Any]:
    """Statistics of a committed statement. What DDL says of a table is first noted again: the note may be lost."""
    config = job.configuration.query
    tree = normalise(parse(config.query)[0])
    statement_type = query.statement_type(tree)
    found: dict[str, Any] = {"statementType": statement_type}
    if isinstance(tree, names.DML) and commit.rows is not None:
        found["numDmlAffectedRows"] = str(commit.rows)
    if isinstance(tree, exp.Create | exp.Drop):
        default = config.defaultDataset
        project_id = (default and default.projectId) or job.jobReference.projectId
        dataset_id = default and default.datasetId
        with database.cursor() as cursor:
            ddl.apply(tree, project_id, dataset_id, query._evaluator(cursor))
        if tree.args["kind"].upper() in ("TABLE", "VIEW"):
            ids = names.reference(names.target(tree), project_id, dataset_id)
            found["ddlTargetTable"] = dict(zip(("projectId", "datasetId", "tableId"), ids, strict=True))
        create_table_as.name_destination(config, statement_type, found.get("ddlTargetTable"))
    return found
