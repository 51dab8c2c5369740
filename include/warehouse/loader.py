"""One batch, one load job. What has happened is decided by BigQuery's answer about the job, never guessed.

A job's id derives from the batch: submitted twice, it meets 409, and the job that is there is adopted. So any failure
that leaves the outcome open (a lost reply, a timeout, a kill) is answered by asking for the job, and by submitting
again under the same id where there is none. `outcomes` names every answer and what follows from it.

    LoadError
    ├── LoadFailed        the job ended with an error; it brought nothing, the next attempt needs a new id
    ├── LoadUnfinished    the job is not done in time; the same id again adopts it
    ├── LoadNotStarted    the job was not even started in time; the same id again adopts it
    ├── LoadRefused       BigQuery refuses the request; there may be no job, the id stays
    └── BatchIncomplete   the job ended well with another number of rows than the batch has
"""

import logging
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Self

import msgspec
from google.api_core import exceptions
from google.cloud import bigquery

from include.config import Compression, PipelineConfig
from include.warehouse import uploads
from include.warehouse.batch_reader import BatchReader
from include.warehouse.batches import Batch
from include.warehouse.outcomes import REQUEST_ERRORS, Reaction, of_job, of_request
from include.warehouse.progress import Progress
from include.warehouse.table_specs import load_spec
from include.warehouse.tables import load_schema

#: Waits between submissions under one id while their outcome is open, in seconds.
SUBMIT_AGAIN_SECONDS = (0.5, 2.0, 8.0)
#: A job is asked for its state after another tenth of the time it has taken: late by a tenth at most.
_POLL_SHARE = 0.1
_POLL_SECONDS_MIN = 0.05
_POLL_SECONDS_MAX = 2.0
_LABEL_LENGTH = 63

log = logging.getLogger(__name__)


class LoadError(Exception):
    """A batch is not loaded, or not known to be. `reaction` is what has to follow."""

    reaction = Reaction.PAGE


class LoadFailed(LoadError):
    """The job ended with an error. A failed load job brings no row, so the batch may be submitted under its next id."""

    def __init__(self, job: bigquery.LoadJob) -> None:
        self.messages = [str(error.get("message", error)) for error in job.errors or [job.error_result]]
        self.reaction = of_job(job.error_result)
        super().__init__(
            f"load job {job.job_id} failed ({job.error_result.get('reason')}): {'; '.join(self.messages)}. It brought "
            f"no row. Next: {self.reaction}"
        )


class LoadUnfinished(LoadError):
    """The job is still running."""

    reaction = Reaction.SAME_ID


class LoadNotStarted(LoadError):
    """The job is still pending."""

    reaction = Reaction.PAGE


class LoadRefused(LoadError):
    """BigQuery refuses the request about the job: a right, a quota or a setting is missing."""

    def __init__(self, job_id: str, error: BaseException) -> None:
        self.reaction = of_request(error)
        super().__init__(
            f"BigQuery refuses a request for load job {job_id}: {error}. Nothing is known to be loaded. Hint: "
            + (
                "the quota renews by itself, a later run goes on"
                if self.reaction is Reaction.WAIT
                else "look at the service account's rights, the project and PULSE_LOCATION"
            )
        )


class BatchIncomplete(LoadError):
    """Rows and records differ. The batch stays open: loading more or closing it would both be wrong."""


class LoadResult(msgspec.Struct, frozen=True):
    """A load job that ended well and brought every record of its batch but the excluded ones."""

    job_id: str
    output_rows: int
    loaded_at: datetime


class LoadOptions(msgspec.Struct, frozen=True):
    """How long to wait, in seconds: for the answer to a request, for a job to start, for a job to end; and the form of
    the upload."""

    request_seconds: float
    start_seconds: float
    job_seconds: float
    compression: Compression = Compression.NONE

    @classmethod
    def of(cls, config: PipelineConfig) -> Self:
        """As configured."""
        return cls(
            config.load_request_timeout_seconds,
            config.load_start_timeout_seconds,
            config.load_timeout_seconds,
            config.load_compression,
        )


def load(
    client: bigquery.Client,
    batch: Batch,
    attempt: int,
    reader: BatchReader,
    *,
    labels: Mapping[str, str],
    options: LoadOptions,
) -> LoadResult:
    """Upload a batch and wait for its job; a job of this id that exists already is adopted instead.

    Raises LoadError, SegmentChanged (nothing was loaded), and one of outcomes.REQUEST_ERRORS for a warehouse that stays
    unreachable (the outcome is then open).
    """
    job_id = batch.job_id(attempt)
    log.info(
        "loading batch %s: %d segments, %d records, job %s", batch.batch_id, len(batch.segments), reader.records, job_id
    )
    config = job_config({**labels, "batch": batch.batch_id})
    job = submitted(client, job_id, table_id=batch.table_id, config=config, reader=reader, options=options)
    return _closed(finished(client, job, options), batch, reader.records)


def adopt(
    client: bigquery.Client, batch: Batch, attempt: int, records: int, *, options: LoadOptions
) -> LoadResult | None:
    """Wait for a job that was submitted before, and has to bring `records` rows; None when nobody knows it.

    None is no proof that the job will never appear (a request may still be under way): only submitting under the same
    id is safe then. Raises as `load` does.
    """
    job = _existing(client, batch.job_id(attempt), options)
    return None if job is None else _closed(finished(client, job, options), batch, records)


def submitted(
    client: bigquery.Client,
    job_id: str,
    *,
    table_id: str,
    config: bigquery.LoadJobConfig,
    reader: BatchReader,
    options: LoadOptions,
) -> bigquery.LoadJob:
    """The job of this id, in whatever state: submitted now, or found. Raises as `load` does."""
    table = bigquery.TableReference.from_string(table_id)
    resource = bigquery.LoadJob(job_id, None, table, client, config).to_api_repr()  # type: ignore[no-untyped-call]
    resource["jobReference"]["location"] = client.location
    for wait in (*SUBMIT_AGAIN_SECONDS, None):
        progress = Progress(f"job {job_id}: uploading")
        try:
            return uploads.submit(
                client,
                resource,
                uploads.compressed(progress.counted(reader), options.compression),
                timeout_seconds=options.request_seconds,
                on_progress=progress.sent,
            )
        except REQUEST_ERRORS as error:
            reaction = of_request(error)
            if reaction.is_final:
                raise LoadRefused(job_id, error) from error
            log.warning("submitting job %s: %s. Next: %s", job_id, error, reaction)
            job = _existing(client, job_id, options)
            if job is not None:
                return job
            if wait is None:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable: the last try returns or raises")


def finished(client: bigquery.Client, job: bigquery.LoadJob, options: LoadOptions) -> bigquery.LoadJob:
    """The job when it has ended well. Raises LoadFailed, LoadUnfinished, LoadNotStarted, LoadRefused."""
    progress = Progress(f"job {job.job_id}: waiting")
    while job.state != "DONE":
        if job.state == "PENDING" and progress.seconds >= options.start_seconds:
            raise LoadNotStarted(
                f"load job {job.job_id} is pending for {progress.seconds:.0f} s. Hint: BigQuery has not begun; see its "
                f"state and BigQuery's status page. The next run adopts it (PULSE_LOAD_START_TIMEOUT_SECONDS)"
            )
        if progress.seconds >= options.job_seconds:
            raise LoadUnfinished(
                f"load job {job.job_id} is {job.state} after {progress.seconds:.0f} s. Hint: the next try adopts it; "
                f"see its state in BigQuery, or raise PULSE_LOAD_TIMEOUT_SECONDS"
            )
        progress.waiting(str(job.state))
        time.sleep(min(max(_POLL_SHARE * progress.seconds, _POLL_SECONDS_MIN), _POLL_SECONDS_MAX))
        found = _existing(client, job.job_id, options)
        if found is None:
            raise LoadUnfinished(
                f"load job {job.job_id} was {job.state}, and is not to be found now. Hint: the next try looks again "
                f"and submits it under the same id"
            )
        job = found
    if job.error_result:
        raise LoadFailed(job)
    return job


def _closed(job: bigquery.LoadJob, batch: Batch, records: int) -> LoadResult:
    if job.output_rows != records:
        raise BatchIncomplete(
            f"load job {job.job_id} ended well with {job.output_rows} rows; batch {batch.batch_id} has {batch.records} "
            f"records, of which {records} were to be loaded. Hint: the batch stays open; compare its rows in "
            f"{batch.table_id} (by batch_id) with its segments and ops.dead_letters"
        )
    return LoadResult(job.job_id, job.output_rows, job.ended)


def _existing(client: bigquery.Client, job_id: str, options: LoadOptions) -> bigquery.LoadJob | None:
    """The job of this id; None when BigQuery does not know it."""
    try:
        job = client.get_job(
            job_id,
            retry=bigquery.DEFAULT_RETRY.with_timeout(options.request_seconds),
            timeout=options.request_seconds,
        )
    except exceptions.NotFound:
        return None
    except REQUEST_ERRORS as error:
        if of_request(error).is_final:
            raise LoadRefused(job_id, error) from error
        raise
    if not isinstance(job, bigquery.LoadJob):
        raise LoadError(f"job {job_id} is a {job.job_type} job. Hint: somebody else uses this product's job ids")
    return job


def job_config(labels: Mapping[str, str]) -> bigquery.LoadJobConfig:
    """A load job that appends rows of raw.messages to an existing table of that layout, all of them or none."""
    return bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
        schema=load_schema(load_spec("messages")),
        create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        # A member the schema does not know must not stop a load; the archive keeps it verbatim.
        ignore_unknown_values=True,
        max_bad_records=0,
        labels={label_text(key): label_text(value) for key, value in labels.items()},
    )


def label_text(text: str) -> str:
    """A text as BigQuery allows it in labels: lower-case letters, digits, `_` and `-`, at most 63."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:_LABEL_LENGTH]
